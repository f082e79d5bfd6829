"""Starting and stopping a recording from everywhere, any number of times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.life import whole
from tests.support.python import run_python, wait_for

PRELUDE = """
import atexit, ctypes, gc, os, sys, threading, time
import giltrace
from giltrace import _core
from giltrace.errors import GiltraceError
out = sys.argv[1]
cycle = ctypes.CDLL(None).getppid
def cycles(n):
    for _ in range(n):
        cycle()
def idle():
    state = _core.state()
    return not (state["installed"] or state["recording"] or state["interposed"])
"""


@pytest.mark.slow
def test_a_thousand_times(tmp_path: Path) -> None:
    """Under load, with threads and forks around it: nothing is left of any of them."""
    run_python(
        PRELUDE
        + """
from giltrace.record.session import Session
from giltrace.record.settings import Settings
from giltrace.runtime import bootstrap
bootstrap._GEOMETRIES = ((64, 64, 1 << 14),)  # small arenas: most of the time goes into them
sys.setswitchinterval(0.0002)
stop = False
def call():
    while not stop:
        cycle()
threads = [threading.Thread(target=call) for _ in range(2)]
for thread in threads: thread.start()
def resources():
    maps = sum(1 for line in open("/proc/self/maps") if "arena" in line)
    return maps, len(os.listdir("/proc/self/fd"))
def rss_kb():
    return int(open("/proc/self/statm").read().split()[1]) * 4
with Session(Settings(chunks=16)) as session:
    before = None
    for n in range(1000):
        bootstrap.join(str(session.path))
        cycles(3)
        if n % 100 == 0:
            pid = os.fork()
            if pid == 0:
                bootstrap.leave()
                os._exit(0 if idle() else 1)
            assert os.waitpid(pid, 0)[1] == 0
        bootstrap.leave()
        assert idle(), _core.state()
        for arena in session.arenas():
            arena.unlink()
        if n == 100:
            gc.collect()
            before, size = resources(), rss_kb()
    assert resources() == before, (resources(), before)
    assert rss_kb() - size < 2048, (size, rss_kb())
stop = True
for thread in threads: thread.join()
""",
        tmp_path / "out",
    )


def test_from_another_thread(tmp_path: Path) -> None:
    """Started in one thread, used in a second, stopped in a third; the first may be gone."""
    run_python(
        PRELUDE
        + """
recorder = giltrace.Recorder(out)
for work in (recorder.start, lambda: cycles(500), recorder.stop):
    thread = threading.Thread(target=work); thread.start(); thread.join()
assert idle()
""",
        tmp_path / "out",
    )
    assert len(whole(tmp_path / "out").holds) >= 500


def test_sessions_that_begin_while_others_end(tmp_path: Path) -> None:
    """Each looks round for what was left behind, where others' folders come and go meanwhile."""
    run_python(
        PRELUDE
        + """
from giltrace.record.session import Session
from giltrace.record.settings import Settings
sys.setswitchinterval(1e-5)
failures = []
def come_and_go():
    try:
        for _ in range(300):
            with Session(Settings()):
                pass
    except BaseException as error:
        failures.append(error)
threads = [threading.Thread(target=come_and_go) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
""",
        tmp_path / "out",
    )


def test_two_at_once(tmp_path: Path) -> None:
    """Of several threads that start a recorder at once one gets it, the others a clear refusal."""
    run_python(
        PRELUDE
        + """
barrier, refused = threading.Barrier(4), []
def compete(n):
    recorder = giltrace.Recorder(f"{out}{n}")
    barrier.wait()
    try:
        recorder.start()
    except GiltraceError as error:
        refused.append(str(error))
    else:
        won.append(recorder)
    barrier.wait()
for _ in range(2):
    won = []
    threads = [threading.Thread(target=compete, args=(n,)) for n in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(won) == 1, won
    cycles(50)
    won[0].stop()
    won[0].output.unlink()
assert idle()
assert refused == ["this process is being recorded already"] * 6, refused
assert not [name for name in os.listdir(os.path.dirname(out)) if name.startswith("out")]
""",
        tmp_path / "out",
    )


@pytest.mark.parametrize("left", ["stopped", "left running"])
def test_from_an_exit_handler(tmp_path: Path, left: str) -> None:
    """What the program does at its very end can be recorded, too."""
    stop = "recorder.stop()" if left == "stopped" else ""
    done = run_python(
        PRELUDE
        + f"""
@atexit.register
def late():
    recorder = giltrace.Recorder(out)
    recorder.start()
    print(recorder._collector.pid, flush=True)
    cycles(300)
    {stop}
class Late:
    def __del__(self, cycles=cycles): cycles(10)
sys.modules["late"] = Late()
threading.Thread(target=cycles, args=(10**9,), daemon=True).start()
""",
        tmp_path / "out",
    )
    wait_for(int(done.stdout))
    assert len(whole(tmp_path / "out").holds) >= 300


def test_imported_anew(tmp_path: Path) -> None:
    """Modules that are thrown away and imported again share the one recording there can be."""
    run_python(
        PRELUDE
        + """
def forget():
    for name in [name for name in sys.modules if name.split(".")[0] == "giltrace"]:
        del sys.modules[name]
first = giltrace.Recorder(out)
first.start()
forget()
import giltrace as again
try:
    again.Recorder(out + "2").start()
except Exception as error:
    assert type(error).__name__ == "GiltraceError" and "already" in str(error), error
else:
    raise AssertionError
cycles(100)
first.stop()
forget()
import giltrace as third
with third.Recorder(out + "3"):
    cycles(100)
gc.collect()
assert threading.Thread._set_native_id.__module__ == "threading"
from giltrace import _core
assert idle()
""",
        tmp_path / "out",
    )
    for name in ("out", "out3"):
        assert len(whole(tmp_path / name).holds) >= 100
