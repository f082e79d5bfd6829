"""Interpreters beside the main one, those with a GIL of their own above all (CPython 3.12+)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.life import both, whole
from tests.support.python import run_python
from tests.support.recorder import record, script

INTERPRETERS = """
import ctypes, os, sys, threading, time
try:
    import _interpreters as interpreters  # 3.13
    create = lambda own: interpreters.create("isolated" if own else "legacy")
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    create = lambda own: interpreters.create(isolated=own)
    run = interpreters.run_string
cycle = ctypes.CDLL(None).getppid
def in_threads(work, n):
    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""

own_gil = pytest.mark.skipif(sys.version_info < (3, 12), reason="they share the GIL before 3.12")


@own_gil
def test_each_gil_is_a_row_of_its_own(tmp_path: Path) -> None:
    """Used from many threads at once; each cycle is on the GIL of its interpreter, none lost."""
    code = (
        INTERPRETERS
        + """
others = [create(True) for _ in range(4)]
def work(i):
    for _ in range(5):
        run(others[i % 4], "import time\\nfor _ in range(20): time.sleep(0)")
        cycle()
in_threads(work, 4)
for other in others:
    interpreters.destroy(other)
# They come and go while others work; memory of those that went is used again.
stop = False
def spin(_):
    while not stop: # not all the time: a free-threaded build takes ten seconds for the rest then
        cycle(); time.sleep(0.0001)
spinner = threading.Thread(target=spin, args=(0,)); spinner.start()
def churn(_):
    for _ in range(4):
        other = create(True)
        run(other, "import time\\nfor _ in range(10): time.sleep(0)")
        interpreters.destroy(other)
in_threads(churn, 3)
stop = True; spinner.join()
print(len(interpreters.list_all()))
"""
    )
    trace = both(tmp_path, code)
    assert len(trace.gils) == 1 + 4 + 12
    assert [gil.interpreter for gil in trace.gils].count(0) == 1
    acquires = [int((trace.holds.gil == gil.index).sum()) for gil in trace.gils]
    assert all(n >= 100 for n in acquires[1:5])
    assert all(n >= 10 for n in acquires[5:])
    assert trace.lost_events == 0


@own_gil
@pytest.mark.slow
def test_more_interpreters_than_there_are_rows(tmp_path: Path) -> None:
    """Beyond 255 GILs in one recording further ones run unrecorded, and that is said."""
    code = (
        INTERPRETERS
        + """
for _ in range(260):
    interpreters.destroy(create(True))
"""
    )
    trace = both(tmp_path, code, timeout=100)
    assert len(trace.gils) == 255
    assert any("further GILs were not recorded" in note for note in trace.notes)


@own_gil
def test_interpreters_of_before_and_at_the_end(tmp_path: Path) -> None:
    """Recording starts and stops while interpreters live, and the program ends with some left."""
    code = (
        INTERPRETERS
        + """
import giltrace
before = create(True)
stop = False
def work(_):
    while not stop:
        run(before, "import time\\nfor _ in range(20): time.sleep(0)")
thread = threading.Thread(target=work, args=(0,)); thread.start()
for i in range(2):
    with giltrace.Recorder(sys.argv[1] + str(i)):
        during = create(True)
        run(during, "import time\\nfor _ in range(50): time.sleep(0)")
    run(during, "pass")
stop = True; thread.join()
"""
    )
    run_python(code, tmp_path / "out")
    first, second = whole(tmp_path / "out0"), whole(tmp_path / "out1")
    assert len(first.gils) == len(second.gils) == 2
    assert any("1 other interpreters were running" in note for note in first.notes)
    assert any("2 other interpreters were running" in note for note in second.notes)


@own_gil
def test_a_portable_recording_ends_where_interpreters_begin(tmp_path: Path) -> None:
    """Looking at the frames of one that runs on its own GIL would corrupt memory."""
    code = (
        INTERPRETERS
        + """
def work(i):
    other = create(True)
    for _ in range(10):
        run(other, "import time\\nfor _ in range(20): time.sleep(0)")
        time.sleep(0.0001)
in_threads(work, 3)
"""
    )
    trace = both(tmp_path, code, options=("-q", "--backend", "portable"))
    assert any("another interpreter was created" in note for note in trace.notes)


def test_interpreters_that_share_the_gil(tmp_path: Path) -> None:
    """Their threads' cycles are on the one GIL; the interpreter's own code is not looked at."""
    code = (
        INTERPRETERS
        + """
def work(_):
    other = create(False)
    run(other, "import time\\nfor _ in range(20): time.sleep(0)")
    run(other, "import threading\\nt = threading.Thread(target=print); t.start(); t.join()")
    interpreters.destroy(other)
in_threads(work, 1)
for _ in range(5):
    work(0)
"""
    )
    trace = both(tmp_path, code)
    assert len(trace.gils) == 1
    assert len(trace.processes) == 1
    assert len(trace.holds) >= 120


def test_an_interpreter_made_after_the_recording(tmp_path: Path) -> None:
    """It runs our sitecustomize like any other, and leaves the process unrecorded."""
    program = script(
        tmp_path,
        INTERPRETERS
        + """
from giltrace import _core
from giltrace.runtime import bootstrap
bootstrap.leave()  # as if the recording were over, with its recorder still there
other = create(False)
run(other, "import sys; assert sys.getprofile() is None, sys.getprofile()")
interpreters.destroy(other)
assert sys.getprofile() is None
assert not _core.state()["recording"]
""",
    )
    done = record(tmp_path / "out.giltrace", program)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(whole(tmp_path / "out.giltrace").processes) == 1


@pytest.mark.parametrize("own", [False, pytest.param(True, marks=own_gil)])
@pytest.mark.parametrize(
    "options",
    [(), ("--backend", "portable"), ("--policy", "auto")],
    ids=["tap", "portable", "policy"],
)
def test_nothing_of_ours_is_imported_into_another_interpreter(
    options: tuple[str, ...], own: bool, tmp_path: Path
) -> None:
    """If we had `threading`, ending it from another thread would take for ever on 3.11 and 3.12."""
    code = (
        INTERPRETERS
        + f"""
for _ in range(3):
    other = create({own})
    run(other, "import sys; print('threading' in sys.modules, flush=True)")
    in_threads(lambda _: interpreters.destroy(other), 1)
"""
    )
    both(tmp_path, code, options=("-q", *options))
