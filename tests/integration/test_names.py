"""What threads are called that `threading` knows nothing of."""

from __future__ import annotations

from pathlib import Path

from giltrace.model import load
from giltrace.record import entering
from tests.support.recorder import record, script

# Each thread of C's own says its id, waits until it is told to end, and lets the GIL go often.
CODE = """
import _thread, ctypes, sys, time
libc = ctypes.CDLL(None)
ROUTINE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
PR_SET_NAME = 15
ids, over = [], []
def routine(name):
    if name:
        libc.prctl(PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)
    ids.append(_thread.get_native_id())
    while not over:
        time.sleep(0.001)
def start(name):
    call = ROUTINE(lambda _: routine(name))
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, call, None) == 0
    while len(ids) <= len(started):
        time.sleep(0.001)
    started.append((thread, call))
started = []
start(b"\\x1b[31mio")
start(b"")
# Until the recorder has asked the kernel, and said so.
while b"native-%d" % ids[1] not in open(sys.argv[1], "rb").read():
    time.sleep(0.01)
over.append(True)
for thread, _ in started:
    libc.pthread_join(thread, None)
print(ids[1])
"""


def test_threads_of_c_are_called_what_the_kernel_calls_them(tmp_path: Path) -> None:
    """A name given with prctl, also a hostile one; without any it is their id."""
    output = tmp_path / "out.giltrace"
    done = record(output, script(tmp_path, CODE), str(output))
    assert done.returncode == 0, done.stderr
    names = {thread.name for thread in load(output).threads}
    assert names == {"MainThread", "\x1b[31mio", f"native-{int(done.stdout)}"}


# As `sys.remote_exec` does once the main thread comes by, when it is too late.
VISITED = """
import _thread, sys, time
over = []
def visit():
    exec(sys.argv[1], {})
    over.append(True)
_thread.start_new_thread(visit, ())
while not over:
    time.sleep(0.001)
"""


def test_a_visit_is_called_so_whatever_becomes_of_it(tmp_path: Path) -> None:
    """A thread that came to attach has its name before it first lets go of the GIL."""
    output = tmp_path / "out.giltrace"
    text = entering._text(tmp_path / "gone.py")
    done = record(output, script(tmp_path, VISITED), text)
    assert done.returncode == 0, done.stderr
    assert {thread.name for thread in load(output).threads} == {"MainThread", "giltrace attach"}
