"""Programs that end in every way there is, with threads holding, waiting and blocked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TypeAlias

import pytest

from giltrace.model import Trace
from tests.support.life import both, whole
from tests.support.python import run_python
from tests.support.recorder import record, script

# Six daemon threads that are in each of the states when the end comes: two compute and so hold or
# wait for the GIL, two go round in calls that let it go, one sleeps, one waits for a lock.
THREADS = """
import atexit, ctypes, os, signal, sys, threading, time, weakref
sys.setswitchinterval(0.0005)
lock = threading.Lock(); lock.acquire()
started = threading.Barrier(7)
def spin():
    started.wait()
    while True:
        sum(range(500))
def call():
    getppid = ctypes.CDLL(None).getppid
    started.wait()
    while True:
        getppid()
def sleep():
    started.wait()
    time.sleep(3600)
def wait():
    started.wait()
    lock.acquire()
for target in (spin, spin, call, call, sleep, wait):
    threading.Thread(target=target, daemon=True).start()
started.wait()
"""

ENDS = {
    "the end of the program": "print('done')",
    "sys.exit": "sys.exit(7)",
    "an exception": "{}['missing']",
    "os._exit": "os._exit(5)",
    "abort": "os.abort()",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
    "a signal handler that exits": """
signal.signal(signal.SIGALRM, lambda *_: sys.exit(9))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while True:
    sum(range(100))
""",
    "an interrupt": """
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    sys.exit(130)
""",
    "an exit handler that waits": """
@atexit.register
def late():
    for _ in range(20):
        time.sleep(0.001)
    print("late")
""",
    "an exit handler that computes": "atexit.register(lambda: print(sum(range(3_000_000))))",
    "an exit handler that fails": "sys.excepthook = print; atexit.register(divmod, 1, 0)",
    "objects that let go of the GIL as the interpreter takes them down": """
class Late:
    def __init__(self): self.sleep = time.sleep
    def __del__(self): [self.sleep(0.0005) for _ in range(10)]
late = Late(); late.self = late
sys.modules["keeps"] = late
""",
    "a weak reference's last word": """
class Thing: pass
thing = Thing(); thing.cycle = thing
weakref.finalize(thing, lambda: time.sleep(0.005))
""",
    "another program": "os.execv('/bin/echo', ['echo', 'another'])",
    "an end in another thread": """
def leave():
    os._exit(4)
threading.Thread(target=leave).start()
time.sleep(60)
""",
    "sys.exit in threads, and an exception in one": """
def leave(code):
    sys.exit(code)
threading.excepthook = lambda hook: sys.stdout.write(f"{hook.exc_value}\\n")
more = [threading.Thread(target=leave, args=(n,)) for n in range(20)]
for thread in more:
    thread.start()
for thread in more:
    thread.join()
threading.Thread(target=lambda: 1 / 0).start()
""",
    "threads that must be waited for": """
def last():
    for _ in range(30):
        time.sleep(0.001)
    print("last")
threading.Thread(target=last).start()
""",
}


# Runs each end in a process of its own, two at a time, and says how it went.
DRIVER = """
import json, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
def run(end):
    done = subprocess.run([sys.executable, "-c", end], capture_output=True, text=True, timeout=50)
    return done.returncode, sorted(done.stdout.splitlines()), sorted(done.stderr.splitlines())
with open(sys.argv[1]) as file:
    ends = json.load(file)
with ThreadPoolExecutor(2) as executor:
    print(json.dumps(dict(zip(ends, executor.map(run, ends.values())))))
"""


# Exit code and lines of stdout and stderr, by the name of the end.
Ends: TypeAlias = dict[str, tuple[int, list[str], list[str]]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ends, Ends, Trace]:
    """How each end went as it is, how recorded, and the capture of them all."""
    folder = tmp_path_factory.mktemp("ends")
    ends = folder / "ends.json"
    ends.write_text(json.dumps({name: THREADS + code for name, code in ENDS.items()}))
    program = script(folder, DRIVER)
    plain = run_python(DRIVER, ends)
    done = record(folder / "out.giltrace", program, str(ends))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(plain.stdout), json.loads(done.stdout), whole(folder / "out.giltrace")


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.replace(" ", "-"))
def test_a_program_ends_as_without_us(outcomes: tuple[Ends, Ends, Trace], end: str) -> None:
    """With six busy daemon threads around it: same exit code, same words."""
    plain, recorded, _ = outcomes
    assert recorded[end] == plain[end]


def test_whatever_the_end_was_the_capture_is_whole(outcomes: tuple[Ends, Ends, Trace]) -> None:
    """Each of the programs is there with its seven threads and all that they did."""
    trace = outcomes[2]
    assert trace.lost_events == 0
    programs = [process for process in trace.processes if "started.wait()" in process.argv[-1]]
    assert len(programs) == len(ENDS)
    for process in programs:
        assert len(trace.threads_of(process.index)) >= 7


# CPython 3.11 to 3.13 end such threads by pthread_exit() from inside take_gil(); from 3.14 on they
# hang. Either way their last wait has no acquire.
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there they hang instead of dying")
@pytest.mark.parametrize("end", ["pass", "atexit.register(os._exit, 0)"], ids=["final", "sudden"])
def test_threads_that_die_while_they_wait(tmp_path: Path, end: str) -> None:
    """Their open waits are closed at the end of what is known, and nobody is made a holder."""
    code = f"""
import atexit, ctypes, os, sys, threading, time
sys.setswitchinterval(60)
started = threading.Barrier(9)
def work():
    started.wait()
    while True:
        time.sleep(0.0001)
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
started.wait()
# Hold the GIL while they wake up, then end without letting go, or as finalization does.
# This usleep() keeps it, and leaves the core to them.
usleep = ctypes.PyDLL(None).usleep
{end}
atexit.register(usleep, 500_000)
"""
    trace = both(tmp_path, code)
    open_waits = trace.waits.hold < 0
    # Finalization lets the GIL go while it writes and frees: some or all may get it, to end then.
    assert open_waits.any() or end == "pass"
    assert (trace.waits.end[open_waits] <= trace.end_ns).all()
