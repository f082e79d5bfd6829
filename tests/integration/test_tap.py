"""The tap in live interpreters; each test runs in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.python import run_python

PRELUDE = """
import ctypes, os, sys, threading, time
from collections import Counter
from giltrace import _core
from tests.support.events import drained

path = sys.argv[1]
cycle = ctypes.CDLL(None).getppid  # ctypes lets the GIL go around each call: one cycle, no more

def start(**options):
    _core.start(path, b"{}", **options)
    return _core.ArenaReader(path)

def take(reader):
    # How often the CPU clock is read depends on how long things take.
    return [event for event in drained(reader) if event.kind != "cpu"]

def names(reader):
    return [name.decode("utf-8", "replace") for _, _, _, _, name in reader.threads()]
"""


def run(code: str, tmp_path: Path, **options: str) -> str:
    """Run ``code`` after PRELUDE; returns its output."""
    return run_python(PRELUDE + "\n" + code, tmp_path / "arena", env=options).stdout


def test_probe_finds_the_gil_and_changes_nothing(tmp_path: Path) -> None:
    """probe() meets the known shape and leaves nothing installed."""
    run(
        """
facts = _core.probe()
assert facts["attempts"] == 1, facts
state = _core.state()
assert not (state["installed"] or state["recording"] or state["interposed"]), state
assert state["gils"] == 0
""",
        tmp_path,
    )


def test_every_cycle_is_seen_exactly_once(tmp_path: Path) -> None:
    """N calls that let the GIL go give N releases and N acquires, in strict alternation."""
    run(
        """
N = 10_000
reader = start()
for _ in range(N):
    cycle()
_core.stop()
events = take(reader)
kinds = [event.kind for event in events]
assert kinds == ["acquire", "release"] * (N + 1), Counter(kinds)
assert [e.payload for e in events[::2]] == list(range(1, N + 2))
assert events[0].flags == 1 and events[-1].flags & 1 and not any(e.flags & 1 for e in events[1:-1])
assert all(a.ts <= b.ts for a, b in zip(events, events[1:]))
rows = reader.gils()
assert len(rows) == 1 and rows[0][4] == N + 1
held = sum(r.ts - a.ts for a, r in zip(events[::2], events[1::2]))
assert rows[0][5] == held and rows[0][6] == 0
assert reader.totals()["lost_events"] == 0
""",
        tmp_path,
    )


def test_exact_beside_a_spinning_thread(tmp_path: Path) -> None:
    """Under contention too, each cycle of the worker is one release at the calling line."""
    run(
        """
import dis
N = 60
def spin():
    n = 0
    while not done:
        n += 1

def work():
    for _ in range(N):
        cycle()

done = False
reader = start()
spinner = threading.Thread(target=spin); spinner.start()
worker = threading.Thread(target=work); worker.start()
worker.join(); done = True; spinner.join()
_core.stop()
events = take(reader)
codes = {code: name for _, code, _, _, name, _ in reader.codes()}
where = lambda e: codes.get(e.payload & 0xFFFF)
calls = [e for e in events if e.kind == "release" and where(e) == b"work" and not e.flags & 2]
assert len(calls) == N, (len(calls), N)
spins = [e for e in events if e.kind == "release" and where(e) == b"spin"]
# The spinner never lets go by itself: each of its releases stands at a check point.
assert spins and all(e.flags & 2 for e in spins), spins
calling = {i.offset // 2 for i in dis.get_instructions(work) if i.opname.startswith("CALL")}
assert {e.payload >> 16 & 0xFFFF for e in calls} <= calling
""",
        tmp_path,
    )


def test_the_invariants_hold_in_the_raw_stream(tmp_path: Path) -> None:
    """At most one holder, alternation per thread, requests only within another's tenure."""
    run(
        """
import random, time
def io():
    for _ in range(200):
        time.sleep(0.0001)
def compute():
    for _ in range(40):
        sum(range(20_000))
sys.setswitchinterval(0.0005)
reader = start()
threads = [threading.Thread(target=f) for f in (io, io, compute, compute, compute)]
for t in threads: t.start()
for t in threads: t.join()
_core.stop()
events = take(reader)
holds, last, open_ = {}, {}, {}
for e in events:
    if e.kind == "acquire":
        assert last.get(e.slot) != "acquire"
        assert e.payload not in holds, "a tenure has one acquire"
        holds[e.payload] = [e.slot, e.ts, None]
        open_[e.slot] = e.payload
    if e.kind == "release":
        assert last.get(e.slot) == "acquire"
        holds[open_.pop(e.slot)][2] = e.ts
    if e.kind in ("acquire", "release"):
        last[e.slot] = e.kind
assert not open_ and sorted(holds) == list(range(1, len(holds) + 1))
ordered = [holds[tenure] for tenure in sorted(holds)]
assert all(a[2] <= b[1] for a, b in zip(ordered, ordered[1:])), "two holders at once"
requests = [e for e in events if e.kind == "drop_request"]
assert requests
for e in requests:
    slot, begin, end = holds[e.payload]
    assert slot != e.slot and begin <= e.ts <= end
assert reader.gils()[0][7] == len(requests)
assert reader.gils()[0][2] == 500, "the switch interval, in microseconds, as the waits had it"
""",
        tmp_path,
    )


def test_names_follow_threading(tmp_path: Path) -> None:
    """Threads from before, started later, renamed, foreign and with odd names are told."""
    run(
        """
import _thread, time
from giltrace.runtime import names as watcher
go, ready = threading.Event(), threading.Event()
before = threading.Thread(target=go.wait, name="before"); before.start()
reader = start()
watcher.watch()
later = threading.Thread(target=go.wait, name="later"); later.start()
odd = threading.Thread(target=go.wait, name="[red]\\udcff\\n" + "é" * 500); odd.start()
def foreign():
    threading.current_thread()  # asks who it is: threading makes a dummy for it
    ready.set()
    go.wait()
_thread.start_new_thread(foreign, ()); ready.wait()
found = names(reader)
later.name = "renamed"
go.set()
for t in (before, later, odd): t.join()
then = names(reader)
watcher.unwatch()
_core.stop()
assert {"MainThread", "before", "later"} <= set(found), found
assert any(n.startswith("Dummy-") for n in found), found
long = next(n for n in found if n.startswith("[red]"))
assert len(long.encode()) <= _core.NAME_BYTES and long.endswith("…")
assert then == ["renamed"], then
assert "_set_native_id" in vars(threading.Thread) and threading.Thread.name.fset.__name__ == "name"
""",
        tmp_path,
    )


def test_positions_name_function_and_instruction(tmp_path: Path) -> None:
    """A release carries the code object, once described in full, and where it stands in it."""
    run(
        """
def naïve():
    cycle()
reader = start(stacks=4)
naïve()
def outer():
    naïve()
outer()
_core.stop()
codes = {c[1]: c for c in reader.codes()}
mine = next(code for code in codes.values() if code[4] == "naïve".encode())
_, number, line, filename, _, linetable = mine
assert (line, filename, linetable) == (
    naïve.__code__.co_firstlineno, b"<string>", naïve.__code__.co_linetable)
events = take(reader)
at = [i for i, e in enumerate(events) if e.kind == "release" and e.payload & 0xFFFF == number]
assert len(at) == 2
frame = events[at[1] + 1]
assert frame.kind == "frame"
chain = [frame.payload & 0xFFFF, frame.ts & 0xFFFF]
assert [codes[c][4] for c in chain] == [b"outer", b"<module>"]
""",
        tmp_path,
    )


def test_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    """After stop() the table of calls is as it was, code objects are let go, and start works."""
    run(
        """
def f():
    cycle()
before = sys.getrefcount(f.__code__)
for i in range(20):
    reader = start()
    f()
    assert _core.state()["installed"]
    assert sys.getrefcount(f.__code__) == before + 1
    _core.stop()
    _core.stop()
    assert sys.getrefcount(f.__code__) == before
    assert not _core.state()["installed"]
    assert len(take(reader)) == 4
    reader.close()
    os.unlink(path)
maps = open("/proc/self/maps").read()
assert path not in maps
""",
        tmp_path,
    )


def test_a_full_pool_loses_counts_and_never_blocks(tmp_path: Path) -> None:
    """With nobody draining, events are dropped and counted, and the count adds up."""
    run(
        """
N = 50_000
reader = start(chunks=16)
began = time.monotonic_ns()
for _ in range(N):
    cycle()
most_cpu = (time.monotonic_ns() - began) // 200_000 + 2
_core.stop()
events = drained(reader)
assert len(events) == 16 * _core.CHUNK_EVENTS
written = len(events) + reader.totals()["lost_events"]
assert 0 < written - 2 * (N + 1) <= most_cpu
assert reader.gils()[0][4] == N + 1, "the counters go on"
""",
        tmp_path,
    )


def test_more_threads_than_slots(tmp_path: Path) -> None:
    """Threads that find no slot run on; their events are counted as lost."""
    run(
        """
reader = start(slots=4)
gate = threading.Barrier(12)
def work():
    gate.wait()
    for _ in range(10): cycle()
threads = [threading.Thread(target=work) for _ in range(12)]
for t in threads: t.start()
for t in threads: t.join()
_core.stop()
events = take(reader)
assert {e.slot for e in events} == {0, 1, 2, 3}
rows = reader.gils()[0]
seen = sum(e.kind == "acquire" for e in events)
assert seen < rows[4] and reader.totals()["lost_events"] > 0
""",
        tmp_path,
    )


def test_a_full_disk_is_an_error_at_start(tmp_path: Path) -> None:
    """The arena is allocated in full at start: no room shows then, never as SIGBUS later."""
    run(
        """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    start()
except OSError as error:
    assert error.filename == path
else:
    raise AssertionError
assert not os.path.exists(path)
state = _core.state()
assert not (state["installed"] or state["recording"] or state["interposed"]), state
assert state["gils"] == 0
""",
        tmp_path,
    )


def test_two_at_once_is_refused(tmp_path: Path) -> None:
    """A second start while one records is refused with a reason and disturbs nothing."""
    run(
        """
reader = start()
try:
    _core.start(path + "2", b"{}")
except _core.TapError as error:
    assert "already" in str(error)
else:
    raise AssertionError
cycle()
_core.stop()
assert len(take(reader)) == 4 and not os.path.exists(path + "2")
""",
        tmp_path,
    )


def test_starting_and_stopping_from_many_threads(tmp_path: Path) -> None:
    """Whoever comes second waits or is refused; what was in the way is put back as it was."""
    run(
        """
def hammer(number):
    for i in range(40):
        own = f"{path}-{number}-{i}"
        try:
            _core.probe()
            _core.start(own, b"{}", chunks=16, slots=16, codes_bytes=65536)
        except _core.TapError as error:
            assert "already" in str(error), error
        else:
            cycle()
            _core.stop()
            os.unlink(own)
        if number == 0 and i % 10 == 0:
            pid = os.fork()
            if pid == 0:
                _core.probe()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
threads = [threading.Thread(target=hammer, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
_core.stop()
assert not _core.state()["installed"] and not _core.state()["recording"]
cycle()
""",
        tmp_path,
    )


def test_calls_that_let_go_by_themselves_are_told(tmp_path: Path) -> None:
    """Where the build shows it, a call's own release is marked, and a forced one never is."""
    run(
        """
def spin():
    while not done: pass
done = False
reader = start()
t = threading.Thread(target=spin); t.start()
for _ in range(50): cycle()
done = True; t.join()
_core.stop()
releases = [e for e in take(reader) if e.kind == "release"]
assert not any(e.flags & 2 and e.flags & 4 for e in releases)
marked = sum(bool(e.flags & 4) for e in releases)
assert marked == 0 or marked >= 50, marked
""",
        tmp_path,
    )


def test_errno_and_results_are_unchanged(tmp_path: Path) -> None:
    """A call's errno survives the release and the acquire around it."""
    run(
        """
import errno
libc = ctypes.CDLL(None, use_errno=True)
reader = start()
done = False
def spin():
    while not done: pass
t = threading.Thread(target=spin); t.start()
for _ in range(30):
    ctypes.set_errno(0)
    assert libc.close(-1) == -1 and ctypes.get_errno() == errno.EBADF
    try:
        os.read(-1, 1)
    except OSError as error:
        assert error.errno == errno.EBADF
done = True
t.join()
_core.stop()
""",
        tmp_path,
    )


def test_a_forked_child_never_writes_into_its_parents_arena(tmp_path: Path) -> None:
    """The child starts unrecorded, can record into an arena of its own, and ends as usual."""
    run(
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
done = False
def spin():
    while not done: pass
t = threading.Thread(target=spin); t.start()
reader = start()
cycle()
for i in range(5):
    pid = os.fork()
    if pid == 0:
        try:
            for _ in range(1000): cycle()
            assert not _core.state()["recording"]
            own = f"{path}-{i}"
            _core.start(own, b"{}")
            mine = _core.ArenaReader(own)
            for _ in range(100): cycle()
            _core.stop()
            assert len(take(mine)) == 202
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
done = True
t.join()
_core.stop()
acquires = [e.payload for e in take(reader) if e.kind == "acquire"]
assert sorted(acquires) == list(range(1, len(acquires) + 1)), "no event of a child"
assert len(acquires) < 1000
""",
        tmp_path,
    )


@pytest.mark.parametrize("how", ["sys.exit(7)", "os._exit(7)", "os.kill(os.getpid(), 9)"])
def test_the_target_may_end_in_any_way_while_recorded(tmp_path: Path, how: str) -> None:
    """No stop(): the process ends as it would, and what it wrote is there."""
    code = f"""
from giltrace.runtime import bootstrap
session = os.path.dirname(path)
open(session + "/options", "w").write(f"recorder {{os.getppid()}}\\n")
bootstrap.join(session)
def spin():
    while True: pass
for _ in range(3): threading.Thread(target=spin, daemon=True).start()
for _ in range(20): cycle()
{how}
"""
    done = run_python(PRELUDE + code, tmp_path / "arena", check=False)
    assert done.returncode == (-9 if "kill" in how else 7), done.stderr
    assert done.stderr == ""
    arena = next(tmp_path.glob("*.arena"))
    seen = run_python(
        "import sys; from giltrace import _core; from tests.support.events import decode\n"
        "events = decode(*_core.ArenaReader(sys.argv[1]).drain())\n"
        "print(sum(e.kind == 'acquire' for e in events))",
        arena,
    )
    assert int(seen.stdout) > 20
