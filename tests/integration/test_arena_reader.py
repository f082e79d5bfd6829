"""The recorder's side of an arena, when what is in it cannot be trusted."""

from __future__ import annotations

from pathlib import Path

from tests.support.python import run_python

MAKE = """
import ctypes, sys
from giltrace import _core
cycle = ctypes.CDLL(None).getppid
_core.start(sys.argv[1], b"{}", slots=8, chunks=16, codes_bytes=65536, stacks=3)
_core.name_thread(__import__("threading").get_native_id(), b"main")
for _ in range(300): cycle()
_core.stop()
"""

MANGLE = """
import random, struct, sys
from giltrace import _core
good = open(sys.argv[1], "rb").read()
path = sys.argv[1] + "-mangled"
opened = 0
for seed in range(400):
    rng = random.Random(seed)
    bad = bytearray(good)
    for _ in range(rng.choice((1, 3, 30))):
        # Mostly in the header, rows, slots and code records; now and then anywhere.
        at = rng.randrange(0, rng.choice((512, 32_000, 110_000, len(bad) - 8)))
        word = rng.choice((0, 1, 2**31, 2**32 - 1, 2**63, rng.getrandbits(64)))
        bad[at:at + 8] = struct.pack("<Q", word)
    with open(path, "wb") as file: file.write(bad)
    try:
        reader = _core.ArenaReader(path)
    except (ValueError, BlockingIOError):
        continue
    opened += 1
    _ = reader.info
    # After the check, the target may go on scribbling: over the geometry, too.
    with open(path, "r+b") as file:
        file.seek(16)
        file.write(rng.randbytes(96))
    for _ in range(3):
        reader.drain(); reader.threads(); reader.codes(); reader.gils(); reader.totals()
        for slot in range(8):
            try:
                reader.free(slot)
            except IndexError:
                pass
    reader.switch(False)
    reader.close()
assert opened > 100, opened
"""


def test_a_scribbled_arena_never_crashes_the_recorder(tmp_path: Path) -> None:
    """Whatever the target's memory holds: an error or odd data, but no crash and no hang."""
    run_python(MAKE, tmp_path / "arena")
    run_python(MANGLE, tmp_path / "arena")


def test_only_own_regular_files_are_mapped(tmp_path: Path) -> None:
    """Links, folders and things that are no arena are refused."""
    run_python(
        """
import os, sys
from giltrace import _core
base = sys.argv[1]
open(base, "wb").write(b"x" * 100_000)
os.symlink(base, base + "-link")
os.mkdir(base + "-folder")
for path, kind in ((base, (ValueError, BlockingIOError)), (base + "-link", OSError),
                   (base + "-folder", OSError), (base + "-none", FileNotFoundError)):
    try:
        _core.ArenaReader(path)
    except kind:
        pass
    else:
        raise AssertionError(path)
""",
        tmp_path / "file",
    )


BATCHES = """
import ctypes, sys, threading
from giltrace import _core
from tests.support.events import decode
cycle = ctypes.CDLL(None).getppid
N = 40_000
_core.start(sys.argv[1], b"{}", slots=8, chunks=2048, codes_bytes=65536)
def cycles():
    for _ in range(N): cycle()
threads = [threading.Thread(target=cycles) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
_core.stop()
reader = _core.ArenaReader(sys.argv[1])
batches = []
while not batches or batches[-1]:
    batches.append(decode(*reader.drain()))
sizes = list(map(len, batches))
assert sizes[:-2] == [reader.batch] * (len(sizes) - 2) and len(sizes) > 4, sizes
kinds, last = {}, {}
for event in (event for batch in batches for event in batch):
    kinds[event.slot, event.kind] = kinds.get((event.slot, event.kind), 0) + 1
    assert event.ts >= last.get(event.slot, 0)
    last[event.slot] = event.ts
assert reader.totals()["lost_events"] == 0
assert sum(kinds[slot, "release"] >= N for slot in last) == 3, kinds
# After each thread that filled a batch it is another's turn.
firsts = [batch[0].slot for batch in batches[:4]]
assert len(set(firsts)) > 1, firsts
"""


def test_a_drain_takes_a_batch_at_most(tmp_path: Path) -> None:
    """However much there is: batch by batch nothing is missing, and no thread waits for others."""
    run_python(BATCHES, tmp_path / "arena")


FULL = """
import ctypes, sys, time
from pathlib import Path
from giltrace import _core
from giltrace.record.drain import ProcessDrain
from giltrace.record.sockets import Sockets
from giltrace.record.sources import Sources
class Sink:
    lasting = False
    told = []
    def complete(self, process, until_ns): self.told.append(until_ns)
    def write(self, record): pass
    def events(self, process, runs, events): pass
    def flush(self): pass
facts = b'{"ppid": 1, "python": "", "implementation": "", "executable": "", "argv": []}'
_core.start(sys.argv[1], facts, slots=8, chunks=16, codes_bytes=65536)
drain = ProcessDrain(Path(sys.argv[1]), 0, Sink(), Sources(), Sockets())
cycle = ctypes.CDLL(None).getppid
for _ in range(20_000): cycle()
time.sleep(0.11)  # what was taken is handed on at least so often
before = time.monotonic_ns()
assert drain.poll() == 16 * _core.CHUNK_EVENTS
assert Sink.told and Sink.told[-1] >= before, Sink.told
_core.stop()
"""


def test_who_is_behind_goes_on_in_time(tmp_path: Path) -> None:
    """An arena that is full when it is visited does not keep what is told of it from ending."""
    run_python(FULL, tmp_path / "arena")


CUT = """
import os, sys
from giltrace import _core
whole = open(sys.argv[1], "rb").read()
path = sys.argv[1] + "-cut"
# A page of it, more, or all: before it is opened, and while it is read.
for left in (0, 4096, 40_960, len(whole) - 4096):
    for ask in "drain", "threads", "codes", "gils", "totals":
        with open(path, "wb") as file: file.write(whole)
        reader = _core.ArenaReader(path)
        reader.info, reader.drain()
        os.truncate(path, left)
        if left == 0:
            try:
                getattr(reader, ask)()
            except ValueError as error:
                assert "cut short" in str(error), error
            else:
                raise AssertionError(ask)
        try:
            for _ in range(3):
                reader.drain(), reader.threads(), reader.codes(), reader.gils(), reader.totals()
        except ValueError as error:
            assert "cut short" in str(error)
        reader.switch(False)
        reader.policy, reader.info, reader.wish(1, 1, 1)
        reader.close()
    with open(path, "r+b") as file: file.truncate(left)
    try:
        _core.ArenaReader(path)
    except (ValueError, BlockingIOError):
        continue
    raise AssertionError(left)
"""


def test_an_arena_that_is_cut_short_never_kills_the_recorder(tmp_path: Path) -> None:
    """Who reads there finds out, and nobody gets a signal."""
    run_python(MAKE, tmp_path / "arena")
    run_python(CUT, tmp_path / "arena")


def test_memory_of_others_is_not_guarded(tmp_path: Path) -> None:
    """What is no arena ends as it does without us."""
    done = run_python(
        """
        import mmap, os, sys
        from giltrace import _core
        with open(sys.argv[1], "w+b") as file:
            file.write(bytes(8192)); file.flush()
            ours, theirs = mmap.mmap(file.fileno(), 0), mmap.mmap(file.fileno(), 0)
            number = _core.guard(ours)
            os.truncate(sys.argv[1], 0)
            assert not _core.is_cut(number)
            assert ours[5000] == 0 and _core.is_cut(number)
            _core.unguard(number)
            assert not _core.is_cut(number)
            print("so far", flush=True)
            theirs[0]
        """,
        tmp_path / "file",
        check=False,
    )
    assert done.stdout == "so far\n" and done.returncode == -7
