"""Run CPython's own tests as they are and recorded, and compare every single outcome.

    python tools/cpython_tests.py PYTHON… [--tests test_threading,test_socket] [--rounds 3]
                                          [--under 'nice -n 19']
                                          [--document docs/reference/platforms.md]

PYTHON are interpreters with the `test` package. Each gets an environment of its own with this
giltrace in it, under build/. Every test file is one process; a file whose outcomes differ is run
again, both ways, up to --rounds times: a difference is a test that never has the same outcome.
Exits 1 if there is one. --document writes the table into a page, between its markers.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "cpython-tests"
TESTS = (
    "test_threading",
    "test_thread",
    "test_threadsignals",
    "test_threading_local",
    "test_socket",
    "test_asyncio",
    "test_subprocess",
    "test_signal",
    "test_fork1",
    "test_concurrent_futures",
    "test_multiprocessing_fork",
    "test_queue",
    "test_sched",
    "test_gc",
    "test_atexit",
    "test_faulthandler",
    "test_interpreters",
    "test_sys_setprofile",
    "test_sys_settrace",
)
# In a virtual machine whose host has no answer these wait for ever, whoever runs them.
LEFT_OUT = ("*VSOCK*",)
LIMIT_S, CASE_S = 1800, 300
BEGIN, END = "<!-- cpython-tests: begin -->", "<!-- cpython-tests: end -->"

Outcomes: TypeAlias = dict[str, str]
"""passed, failed or skipped, by the full name of the test; what the process came to, by "exit"."""


@dataclass
class Compared:
    """One test file on one interpreter.

    Attributes:
        plain, recorded: the outcomes of each round.
    """

    name: str
    plain: list[Outcomes] = field(default_factory=list)
    recorded: list[Outcomes] = field(default_factory=list)

    def differing(self) -> list[str]:
        """Tests that in no round came to the same recorded as in any round as they are."""
        names = {name for outcomes in self.plain + self.recorded for name in outcomes}
        return sorted(name for name in names if not self._seen(name, self.plain, self.recorded))

    def unstable(self) -> list[str]:
        """Tests that came to different things as they are."""
        names = {name for outcomes in self.plain for name in outcomes}
        return sorted(n for n in names if len({o.get(n, "missing") for o in self.plain}) > 1)

    @staticmethod
    def _seen(name: str, plain: list[Outcomes], recorded: list[Outcomes]) -> bool:
        before = {outcomes.get(name, "missing") for outcomes in plain}
        after = {outcomes.get(name, "missing") for outcomes in recorded}
        return bool(before & after)


def main() -> int:
    """Run all; return the exit status."""
    options = _parser().parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell does that to what it puts in the background, and tests of signals would fail.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    under: list[str] = shlex.split(options.under)
    rows: list[str] = []
    differ = False
    for python in options.pythons:
        target = environment(python)
        version = _output(target, "import platform; print(platform.python_version())")
        files: list[Compared] = []
        for name in options.tests.split(","):
            if not _has(target, name):
                print(f"{version} {name}: this interpreter has none", flush=True)
                continue
            files.append(compare(target, name, under, options.rounds))
            print(f"{version} {describe(files[-1])}", flush=True)
        differ |= any(file.differing() for file in files)
        rows.append(_row(version, files))
    print("\n".join(rows))
    if options.document is not None:
        write(options.document, rows)
    return int(differ)


def environment(python: str) -> str:
    """An interpreter of the same kind with this giltrace; what records is our own."""
    identity = _output(python, "import sys; print(sys.base_prefix, sys.hexversion)")
    folder = BUILD / "".join(c if c.isalnum() else "-" for c in identity).strip("-")
    target = folder / "bin" / "python"
    subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(target), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, str(ROOT)], check=True)
    return str(target)


def compare(target: str, name: str, under: Sequence[str], rounds: int) -> Compared:
    """Run one test file both ways until all outcomes were the same once."""
    compared = Compared(name)
    for _ in range(rounds):
        compared.plain.append(run(target, name, under, recorded=False))
        compared.recorded.append(run(target, name, under, recorded=True))
        if not compared.differing():
            break
    return compared


def run(target: str, name: str, under: Sequence[str], *, recorded: bool) -> Outcomes:
    """Run one test file in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="cpython-tests-") as folder:
        command = [target, "-m", "test", "--junit-xml", "result.xml", "--timeout", str(CASE_S)]
        command += [word for pattern in LEFT_OUT for word in ("--ignore", pattern)] + [name]
        if recorded:
            capture = os.path.join(folder, "out.giltrace")
            prefix = [sys.executable, "-m", "giltrace", "record", "-q", "-o", capture]
            command = [*prefix, *command]
        outcomes = {"exit": _exit([*under, *command], folder)}
        result = Path(folder, "result.xml")
        if result.exists():
            outcomes.update(_cases(result))
        return outcomes


def _exit(command: Sequence[str], folder: str) -> str:
    """The exit code; of a program that does not end, with all that it has started, a word."""
    with (
        open(os.path.join(folder, "output"), "wb") as output,
        subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            return str(process.wait(LIMIT_S))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"not over in {LIMIT_S} s"


def _cases(path: Path) -> Iterator[tuple[str, str]]:
    kinds = {"failure": "failed", "error": "failed", "skipped": "skipped"}
    for case in ET.parse(path).getroot().iter("testcase"):  # noqa: S314 -- written by our own child
        found = [kinds[child.tag] for child in case if child.tag in kinds]
        yield case.attrib["name"], found[0] if found else "passed"


def describe(file: Compared) -> str:
    """One line, and one for each difference."""
    last = file.recorded[-1]
    counts = {kind: sum(value == kind for value in last.values()) for kind in KINDS}
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    lines = [f"{file.name}: {words or 'nothing ran'}; {len(file.plain)} round(s)"]
    for name in file.differing():
        before = "/".join(outcomes.get(name, "missing") for outcomes in file.plain)
        after = "/".join(outcomes.get(name, "missing") for outcomes in file.recorded)
        lines.append(f"    DIFFERS {name}: {before} as it is, {after} recorded")
    lines += [f"    unstable as it is: {name}" for name in file.unstable()]
    return "\n".join(lines)


KINDS = ("passed", "failed", "skipped")


def _row(version: str, files: Sequence[Compared]) -> str:
    ran = [outcomes for file in files for outcomes in file.recorded[-1:]]
    counts = [
        sum(value == kind for outcomes in ran for key, value in outcomes.items() if key != "exit")
        for kind in KINDS
    ]
    differing = [name for file in files for name in file.differing()]
    unstable = {name for file in files for name in file.unstable()} - {"exit"}
    cells = [
        f"CPython {version}",
        str(len(files)),
        *(f"{count:,}" for count in counts),
        str(len(unstable)),
        str(len(differing)) if differing else "none",
        time.strftime("%Y-%m-%d"),
    ]
    return f"| {' | '.join(cells)} |"


def write(document: Path, rows: Sequence[str]) -> None:
    """Put the table between the markers of a page."""
    text = document.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    head = [
        "| interpreter | files | passed | failed | skipped | unstable | differing | run on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    table = "\n".join([*head, *rows])
    document.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def _has(target: str, name: str) -> bool:
    code = f"from importlib.util import find_spec; print(find_spec('test.{name}') is not None)"
    return _output(target, code) == "True"


def _output(python: str, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--tests", default=",".join(TESTS), help="file names, with commas between")
    parser.add_argument("--rounds", type=int, default=3, help="at most so many, where they differ")
    parser.add_argument("--under", default="", help="a command that runs each, such as nice -n 19")
    parser.add_argument("--document", type=Path, help="the page whose table is to be written")
    return parser


if __name__ == "__main__":
    sys.exit(main())
