"""What is shipped, and what importing it costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import giltrace

ROOT = Path(__file__).parents[2]

# What a clone of the repository holds and what tools leave in it are two things.
LEFTOVERS = shutil.ignore_patterns(
    "__pycache__", "*.pyc", "*.so", "*.egg-info", "build", "dist", ".*_cache"
)
TOP_LEVEL = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "setup.py",
)

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""

MODULES_AFTER = """
import sys
before = set(sys.modules)
import {module}
print(*sorted(set(sys.modules) - before))
"""


@dataclass(frozen=True)
class Built:
    """A clean copy of the project, and what was built from it."""

    source: Path
    sdist_files: frozenset[str]
    wheel: Path
    wheel_files: frozenset[str]

    def of_wheel(self, name: str) -> str:
        """The text of one file of the wheel's metadata directory."""
        with zipfile.ZipFile(self.wheel) as archive:
            (path,) = (p for p in archive.namelist() if p.endswith(f".dist-info/{name}"))
            return archive.read(path).decode()


def build(what: str, source: Path, out: Path) -> Path:
    """Call the build back end as pip does, and return the file it made."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, str(out)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An sdist of the project, and a wheel built from that sdist alone."""
    base = tmp_path_factory.mktemp("packaging")
    source = base / "source"
    source.mkdir()
    for name in TOP_LEVEL:
        shutil.copy(ROOT / name, source)
    for name in ("giltrace", "docs", "tests", "tools", "c_server"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, source / name, ignore=LEFTOVERS)

    sdist = build("build_sdist", source, base)
    with tarfile.open(sdist) as tar:
        tar.extractall(base / "unpacked", filter="data")
    (unpacked,) = (base / "unpacked").iterdir()
    sdist_files = files_below(unpacked)
    wheel = build("build_wheel", unpacked, base)
    with zipfile.ZipFile(wheel) as archive:
        wheel_files = frozenset(archive.namelist())
    return Built(source, sdist_files, wheel, wheel_files)


def files_below(folder: Path) -> frozenset[str]:
    """The files in and under a folder, relative to it."""
    return frozenset(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def imported_by(module: str) -> set[str]:
    """The modules that importing ``module`` loads into a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES_AFTER.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def third_party(modules: set[str]) -> set[str]:
    """The packages among ``modules`` that are neither ours nor the standard library's."""
    packages = {name.partition(".")[0] for name in modules}
    return packages - sys.stdlib_module_names - {"giltrace"}


@pytest.mark.repo
def test_version_is_that_of_the_version_file(built: Built) -> None:
    """The wheel, the package and the command say what ``_version.py`` says."""
    facts: dict[str, str] = {}
    exec((ROOT / "giltrace/_version.py").read_text(), facts)
    said = subprocess.run(
        [sys.executable, "-m", "giltrace", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert giltrace.__version__ == facts["__version__"]
    assert f"\nVersion: {giltrace.__version__}\n" in built.of_wheel("METADATA")
    assert said == f"giltrace {giltrace.__version__}\n"


@pytest.mark.repo
def test_sdist_holds_all_it_takes(built: Built) -> None:
    """The sdist has every file of the package, the C headers, the tests and the docs."""
    wanted = files_below(built.source)
    assert wanted - built.sdist_files == set()


@pytest.mark.repo
def test_wheel_is_the_package_and_its_extension(built: Built) -> None:
    """The wheel has every file of the package but the C code, for which it has the extension."""
    below = files_below(built.source / "giltrace")
    expected = {f"giltrace/{name}" for name in below if not name.startswith("_core/")}
    shipped = {name for name in built.wheel_files if ".dist-info/" not in name}
    extension = shipped - expected
    assert expected - shipped == set()
    assert [name.partition(".")[0] for name in extension] == ["giltrace/_core"]


@pytest.mark.repo
def test_wheel_holds_what_starts_in_the_target(built: Built) -> None:
    """The file that Python finds through PYTHONPATH is there, and its folder is no package."""
    boot = {name for name in built.wheel_files if name.startswith("giltrace/runtime/boot/")}
    assert boot == {"giltrace/runtime/boot/sitecustomize.py"}


@pytest.mark.repo
def test_wheel_is_for_one_minor_version(built: Built) -> None:
    """Frames are read through internal headers, so the wheel must not claim the stable ABI."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    _name, _version, python, abi, _platform = built.wheel.stem.split("-")
    assert python == tag
    assert abi == tag + sys.abiflags


@pytest.mark.repo
def test_wheel_says_what_it_is(built: Built) -> None:
    """The wheel carries its licence, its command and its extras."""
    metadata = built.of_wheel("METADATA")
    extras = {
        line.removeprefix("Provides-Extra: ")
        for line in metadata.splitlines()
        if line.startswith("Provides-Extra: ")
    }
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert {"all", "dev", "docs", "scenarios", "tui", "ui"} <= extras
    assert "giltrace = giltrace.__main__:run" in built.of_wheel("entry_points.txt")
    assert built.of_wheel("licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_importing_giltrace_imports_nothing_else() -> None:
    """The package is also imported inside programs under measurement: nothing comes with it."""
    modules = imported_by("giltrace")
    assert {name for name in modules if name.startswith("giltrace")} == {
        "giltrace",
        "giltrace._version",
    }
    assert third_party(modules) == set()


def test_runtime_imports_only_the_standard_library() -> None:
    """What runs in the target brings neither packages nor the rest of giltrace along."""
    modules = imported_by("giltrace.runtime.bootstrap")
    inside = ("giltrace.runtime", "giltrace._core", "giltrace._version")
    ours = {name for name in modules if name.startswith("giltrace.")}
    assert {name for name in ours if not name.startswith(inside)} == set()
    assert third_party(modules) == set()


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("giltrace.cli.main", {"click"}),
        ("giltrace.cli.record", {"click", "psutil"}),
        ("giltrace.capture", set()),
    ],
)
def test_imports_wait_until_needed(module: str, allowed: set[str]) -> None:
    """A command starts without the packages that only other commands need."""
    assert third_party(imported_by(module)) <= allowed
