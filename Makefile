# `make` lists what there is. Prerequisites: CPython 3.11 or newer, a C compiler, make; no root.

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.giltrace-setup
BUILD  := build
DEMO   := $(BUILD)/demo
C_CODE := $(wildcard giltrace/_core/*.c giltrace/_core/*.h)

# Arguments for pytest, to run some of the tests: make test ARGS='-k reader -x'
ARGS ?=

# By a path in a .pth file: the finder that setuptools installs otherwise takes as long to import as
# all the rest of a Python's start, and the tests start some thousand.
PLAIN := --config-settings editable_mode=compat

# A different PYTHON than the one the environment was made with makes it anew.
IDENTITY := import sys; print(sys.base_prefix, *sys.version_info[:3])
ifneq ($(PYTHON),)
ifneq ($(shell $(PYTHON) -c '$(IDENTITY)' 2>&1),$(shell $(BIN)/python -c '$(IDENTITY)' 2>&1))
STALE := stale
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint format docs bench samples sanitize clean stale

help: ## list the targets
	@echo 'usage: make TARGET [PYTHON=python3.12]'
	@echo
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  %-9s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## install giltrace and its tools into .venv, if anything changed since

# Keeps an environment that works; one that is broken or of another Python is made anew.
$(STAMP): pyproject.toml setup.py giltrace/_version.py $(C_CODE) $(STALE)
	@command -v "$${CC:-cc}" >/dev/null || { echo \
		"giltrace needs a C compiler (Debian, Ubuntu: install gcc); or name one: CC=clang" >&2; exit 1; }
	@if [ -z '$(STALE)' ] && tools/find-python $(BIN)/python >/dev/null 2>&1; then :; else \
		python=$$(tools/find-python $(PYTHON)) || exit 1; \
		echo "making $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' $(PLAIN)
	@touch $@

demo: $(STAMP) ## record a server beside a CPU-bound thread, explain it, export it for Perfetto
	@mkdir -p $(DEMO)
	$(BIN)/giltrace record -o $(DEMO)/blocking.giltrace --force \
		-m giltrace scenario blocking --load 1 --requests 400
	$(BIN)/giltrace export $(DEMO)/blocking.giltrace -f perfetto -o $(DEMO)/blocking.pftrace --force
	@echo 'Open $(DEMO)/blocking.pftrace at https://ui.perfetto.dev (it stays in your browser).'

# These look at no times and may run beside each other, the longest ones first; the rest wants the
# machine for itself.
BESIDE := $(addprefix tests/,$(patsubst %,integration/test_%.py,bench environments browser html_report) \
	integration/viewer integration/scenarios integration/export unit property golden)
COMPANY := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(STAMP) ## run the tests
ifneq ($(ARGS),)
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest $(COMPANY) $(BESIDE); beside=$$?; \
	$(BIN)/python -m pytest $(BESIDE:%=--ignore=%) && exit $$beside
endif

lint: $(STAMP) ## check formatting, style, types, import layers and C warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	CFLAGS="$$CFLAGS -Werror" $(BIN)/python setup.py --quiet build_ext --force \
		--build-temp $(BUILD)/lint --build-lib $(BUILD)/lint

format: $(STAMP) ## format the Python code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(STAMP) ## build the documentation; warnings are errors
	$(BIN)/sphinx-build -W --keep-going -q -b html docs $(BUILD)/docs
	@echo 'Open $(BUILD)/docs/index.html'

bench: $(STAMP) ## measure what recording costs
	$(BIN)/python -m tests.bench

# PYTHONS='python3.12 pypy3' names the interpreters to compare, instead of those that are found.
samples: $(STAMP) ## make sample_runs/ anew: most of an hour on a quiet machine
	$(BIN)/python tools/make_samples.py $(PYTHONS)

# Each tests/cunit/test_NAME.c is a program that tests the part of giltrace/_core that needs no Python.
C_TESTS := $(patsubst tests/cunit/test_%.c,%,$(wildcard tests/cunit/test_*.c))
C_PARTS := arena clock got guard levels policy queue sched
C_TEST_FLAGS := -std=c11 -g -O1 -Wall -Wextra -Werror -fno-omit-frame-pointer -pthread -iquote giltrace/_core
C_address := -fsanitize=address,undefined -fno-sanitize-recover=all
C_thread := -fsanitize=thread

C_PROGRAMS := $(foreach s,address thread,$(C_TESTS:%=$(BUILD)/cunit/%-$(s)))

sanitize: $(STAMP) $(C_PROGRAMS) ## run the C unit tests, and the core in targets, under sanitizers
	@for test in $(C_PROGRAMS); do echo "$$test"; "$$test" || exit 1; done
	tools/sanitized_tests

define C_SANITIZED
$(BUILD)/cunit/$(1)/%.o: giltrace/_core/%.c $(C_CODE)
	@mkdir -p $$(@D)
	$$(CC) $(C_TEST_FLAGS) $(C_$(1)) -c -o $$@ $$<

$(BUILD)/cunit/%-$(1): tests/cunit/test_%.c tests/cunit/check.h $(C_PARTS:%=$(BUILD)/cunit/$(1)/%.o)
	$$(CC) $(C_TEST_FLAGS) $(C_$(1)) -o $$@ $$(filter-out %.h,$$^)
endef
$(foreach s,address thread,$(eval $(call C_SANITIZED,$(s))))
.SECONDARY: # keep the object files

clean: ## remove what was built, and the environment
	rm -rf $(BUILD) $(VENV) dist docs/_build *.egg-info .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis giltrace/*.so
	find giltrace tests docs -name __pycache__ -type d -exec rm -rf {} +
