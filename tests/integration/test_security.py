"""What SECURITY.md promises, where no other test shows it."""

from __future__ import annotations

import ast
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import giltrace
from giltrace.capture import read
from giltrace.record.session import Session
from giltrace.record.settings import Settings
from tests.support.life import whole
from tests.support.python import environment
from tests.support.recorder import record, script

# Ways to turn bytes of a file into code. Attaching sends a constant text of our own to be run.
_UNPICKLING = {"pickle", "marshal", "shelve", "dill", "yaml"}
_RUNNING = {"eval", "exec", "compile", "__import__"}
_MAY_RUN = {"runtime", "record/entering.py"}


def test_everything_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """Folders 0700 and files 0600: the session's, those that processes leave in it, the capture."""
    code = """
import os, stat
session = os.environ["GILTRACE_SESSION"]
for folder in (os.path.dirname(session), session):
    print(oct(stat.S_IMODE(os.stat(folder).st_mode)))
for name in sorted(os.listdir(session)):
    print(name.split(".")[-1], oct(stat.S_IMODE(os.stat(os.path.join(session, name)).st_mode)))
"""
    before = os.umask(0)
    try:
        done = record(
            tmp_path / "out.giltrace", script(tmp_path, code), options=("-q", "--no-children")
        )
    finally:
        os.umask(before)
    assert (done.returncode, done.stderr) == (0, "")
    folders, files = done.stdout.split()[:2], done.stdout.splitlines()[2:]
    assert folders == ["0o700", "0o700"]
    assert {"options 0o600", "only 0o600"} <= set(files)
    assert all(line.endswith(" 0o600") for line in files)
    assert stat.S_IMODE((tmp_path / "out.giltrace").stat().st_mode) == 0o600


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("dangling", [False, True])
def test_the_output_is_never_written_through_a_link(
    tmp_path: Path, force: bool, dangling: bool
) -> None:
    """A link where the capture is to go is refused, and what it points to is as it was."""
    victim, link = tmp_path / "victim", tmp_path / "out.giltrace"
    if not dangling:
        victim.write_text("precious")
    link.symlink_to(victim)
    done = record(link, "-c", "print('ran')", options=("-q", *(["--force"] if force else [])))
    assert (done.returncode, done.stdout) == (1, "")
    assert "not a regular file" in done.stderr if force else "exists" in done.stderr
    assert not victim.exists() if dangling else victim.read_text() == "precious"
    assert link.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_nobody_joins_the_session_of_another_user() -> None:
    """Whoever owns the folder could have a more powerful process create files elsewhere."""
    with Session(Settings()) as session:
        os.chown(session.path, 12345, 12345)
        done = subprocess.run(
            [sys.executable, "-c", "print('ran')"],
            capture_output=True,
            text=True,
            env=session.environment(environment()),
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")
        assert session.arenas() == []
        (refusal,) = session.refusals()
        assert "another user" in refusal.reason


def test_what_is_read_is_never_run() -> None:
    """No pickles, and no text made into code, in anything that reads captures or arenas."""
    package = Path(giltrace.__file__).parent
    found = []
    for path in package.rglob("*.py"):
        name = str(path.relative_to(package))
        if name.startswith(tuple(_MAY_RUN)):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                words = {alias.name.split(".")[0] for alias in node.names} & _UNPICKLING
            elif isinstance(node, ast.ImportFrom):
                words = {(node.module or "").split(".")[0]} & _UNPICKLING
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                words = {node.func.id} & _RUNNING
            else:
                continue
            found += [f"{name}:{node.lineno}: {word}" for word in words]
    assert found == []


def test_whatever_lies_in_a_session_the_recorder_goes_on(tmp_path: Path) -> None:
    """Links, pipes that never say anything, names without numbers, files without an end."""
    code = """
import os, sys
session = os.environ["GILTRACE_SESSION"]
def there(name): return os.path.join(session, name)
for name in ("1.refused", "x.refused", "1.2.arena", "x.arena", "1.2.portable", "x.portable"):
    os.symlink(sys.argv[1], there(name))
    os.mkfifo(there("9" + name))
    os.mkdir(there("8" + name))
with open(there("77.refused"), "wb") as file:
    file.truncate(1 << 40)
with open(there("78.1.arena"), "wb") as file:
    file.truncate(1 << 40)
import time; time.sleep(0.3)
print("ran")
"""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    done = record(tmp_path / "out.giltrace", script(tmp_path, code), str(victim))
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert victim.read_text() == "precious" and "precious" not in done.stderr
    assert len(whole(tmp_path / "out.giltrace").processes) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can open what it has mapped")
def test_a_target_that_cuts_its_own_memory_short(tmp_path: Path) -> None:
    """It dies of it; its recorder says what happened, and what came before is in the capture."""
    code = """
import os, signal, time
until = time.monotonic() + 0.3
while time.monotonic() < until:
    time.sleep(0.001)
(line,) = (line for line in open("/proc/self/maps") if ".arena" in line)
os.truncate("/proc/self/map_files/" + line.split()[0], 0)
time.sleep(0)
"""
    output = tmp_path / "out.giltrace"
    done = record(output, script(tmp_path, code))
    assert done.returncode == 128 + signal.SIGBUS and "Traceback" not in done.stderr
    assert "its memory for events is damaged: it was cut short" in done.stderr
    capture = read(output)
    assert [end.status for end in capture.process_ends] == ["damaged"]
    assert sum(map(len, capture.events.values())) > 100
