"""The documents say what is so: commands, options, links and words."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from giltrace.cli.main import COMMANDS, cli
from giltrace.model import load
from giltrace.report.diff import render as render_diff
from giltrace.report.terminal import render

pytestmark = pytest.mark.repo

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

FENCE = re.compile(r"^(`{3,})([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
LABEL = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TERM = re.compile(r"^(\S[^\n]*)\n  ", re.MULTILINE)

VOCABULARY = {
    *("acquire", "release", "hold", "holder", "wait", "waiter", "tenure"),
    *("hand-off", "reacquire", "drop request", "switch interval"),
    *("forced", "voluntary", "unknown", "off GIL", "blocked", "native"),
    *("convoy", "convoy stall", "utilisation", "contention", "blame", "priority inversion"),
    *("target", "recorder", "tap", "event", "lost event", "capture", "arena"),
}


def commands() -> dict[str, click.Command]:
    """Every command by its name, loaded."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def shell_lines(text: str) -> Iterator[str]:
    """The commands in a page: after ``$`` in code blocks, and in code within sentences."""
    for fence in FENCE.finditer(text):
        for line in fence[3].splitlines():
            if line.startswith("$ "):
                yield line[2:].partition("  #")[0]
    for code in INLINE.finditer(FENCE.sub("", text)):
        yield code[1]


def words_after(program: str) -> list[tuple[str, list[str]]]:
    """Every use of a program in the pages: the page, and the words of its command line."""
    return [
        (page.name, shlex.split(line)[1:])
        for page in PAGES
        for line in shell_lines(page.read_text())
        if line.startswith(f"{program} ")
    ]


def anchors(page: Path) -> set[str]:
    """The anchors in a page: its labels, and those that its headings make."""
    text = FENCE.sub("", page.read_text())
    titles = HEADING.findall(text)
    return set(LABEL.findall(text)) | {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_documented(name: str) -> None:
    """Every command says what it does, and every option of it too: the reference shows these."""
    command = commands()[name]
    silent = [
        option.opts[0]
        for option in command.params
        if isinstance(option, click.Option) and not (option.help or option.hidden)
    ]
    assert command.help
    assert silent == []


def test_reference_covers_all_commands() -> None:
    """The reference is made from the group, with everything below it."""
    reference = (ROOT / "docs/reference/cli.md").read_text()
    assert ".. click:: giltrace.cli.main:cli\n" in reference
    assert ":nested: full" in reference


def test_readme_shows_every_command() -> None:
    """Whoever reads the README has met every command."""
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"giltrace {name}" not in readme] == []


def test_examples_are_valid() -> None:
    """Every giltrace command line in the pages has a command, options and choices that exist."""
    known = {**commands(), "": cli}
    wrong = []
    for page, words in words_after("giltrace"):
        if words and words[0].startswith("-"):
            words.insert(0, "")  # options of giltrace itself
        command = known.get(words[0]) if words else None
        if command is None:
            wrong.append(f"{page}: giltrace {' '.join(words)}")
            continue
        context = click.Context(command, **command.context_settings)
        try:
            values, _rest, _order = command.make_parser(context).parse_args(words[1:])
        except click.UsageError as error:
            wrong.append(f"{page}: giltrace {' '.join(words)}: {error.format_message()}")
            continue
        for option in command.params:
            value = values.get(option.name or "")
            choices = option.type.choices if isinstance(option.type, click.Choice) else [value]
            if isinstance(value, str) and value not in choices:
                wrong.append(f"{page}: {option.name} {value}")
    assert wrong == []


def test_readme_shows_what_report_prints() -> None:
    """The report in the README is how that of the sample begins."""
    readme = (ROOT / "README.md").read_text()
    shown, gained = (fence[3] for fence in FENCE.finditer(readme) if fence[2] == "text")
    assert "`giltrace report sample_runs/blocking-1-spin.giltrace`" in readme
    printed = render(load(ROOT / "sample_runs" / "blocking-1-spin.giltrace"))
    assert printed.startswith(shown)
    assert printed[len(shown) :].startswith("\nThreads\n")
    command = "diff sample_runs/blocking-1-spin.giltrace sample_runs/blocking-1-spin-auto.giltrace"
    assert command in " ".join(readme.split())
    names = ("blocking-1-spin.giltrace", "blocking-1-spin-auto.giltrace")
    before, after = (load(ROOT / "sample_runs" / name) for name in names)
    assert gained in render_diff(before, after)


def test_make_targets_exist() -> None:
    """Every ``make`` target in the pages is one."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {words[0] for _page, words in words_after("make")}
    assert {"demo", "test"} <= used
    assert used - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Every link to a file leads to one, and to a heading of it if it says so."""
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_glossary_has_every_word_once() -> None:
    """The vocabulary of the project is in the glossary, each word in one entry."""
    terms = TERM.findall((ROOT / "docs/reference/glossary.md").read_text())
    assert VOCABULARY - set(terms) == set()
    assert sorted(set(terms)) == sorted(terms)


def test_tutorial_program_runs() -> None:
    """The program of the first recording does what the tutorial says before giltrace comes in."""
    tutorial = (ROOT / "docs/tutorials/first-recording.md").read_text()
    (program,) = (fence[3] for fence in FENCE.finditer(tutorial) if fence[2] == "python")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "alone",
        "beside a thread that computes",
    ]
