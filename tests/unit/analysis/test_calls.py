"""Off the GIL, call by call, and what each thread did with its time."""

from __future__ import annotations

from giltrace.analysis.activity import Activity, activities
from giltrace.analysis.calls import CallRow, Source, call_name, table
from giltrace.capture.records import Descriptor, SourceText
from giltrace.model import OffKind, build
from tests.support.recording import Recording
from tests.support.timeline import recording, timeline

MS = 1_000_000

SERVER = """
    io:  hold 0-1ms at s.py:4 in serve call=_socket.socket.recv fd=7
    io:  wait 5-8ms hold 8-9ms at s.py:4 in serve call=_socket.socket.recv fd=7
    io:  wait 11-14ms hold 14-15ms at s.py:9 in serve call=time.sleep
    io:  hold 20-21ms at s.py:4 in serve call=_socket.socket.recv fd=7
    cpu: hold 5-8ms at c.py:1 in spin check
    cpu: hold 9-14ms at c.py:1 in spin check
"""


def test_time_is_summed_by_call() -> None:
    """How often, for how long, and how long the thread then waited for the GIL."""
    trace = timeline(SERVER)
    recv, sleep, unknown = table(trace)
    place = int(trace.holds.place[0])
    assert recv == CallRow(
        thread=0,
        call="socket.recv",
        source=Source.CALL,
        kind=OffKind.BLOCKED,
        places=(place,),
        count=2,
        off_ns=6 * MS,
        cpu_ns=0,
        waits=2,
        wait_after_ns=6 * MS,
    )
    assert (sleep.call, sleep.kind, sleep.off_ns, sleep.waits) == (
        "time.sleep", OffKind.SLEEP, 5 * MS, 0,
    )  # fmt: skip
    assert (unknown.thread, unknown.source, unknown.off_ns) == (1, Source.NONE, 1 * MS)


def test_a_forced_switch_is_no_call() -> None:
    """Who was made to let go was in no call, and is in no row."""
    trace = timeline("""
        io:  wait 0-6ms request@5ms hold 6-7ms at s.py:4 in serve
        cpu: hold 0-6ms at c.py:1 in spin check
        cpu: wait 6.5-7ms hold 7-9ms at c.py:1 in spin check
    """)
    assert table(trace) == []
    assert activities(trace)[1].switch_ns == MS // 2


def test_the_source_names_a_call_that_nobody_saw() -> None:
    """Without an id the callee in the source does, and is marked as taken from there."""
    made = recording("io: hold 0-1ms at s.py:4:0-13 in serve  hold 3-4ms at s.py:4:0-13 in serve")
    made.extra.append(SourceText("s.py", 4, "sock.read(10)"))
    trace = build(made.capture())
    (row,) = table(trace)
    assert (row.call, row.source, row.kind) == ("sock.read", Source.TEXT, OffKind.UNKNOWN)
    assert call_name(trace, 0, 0) == ("", Source.NONE)


def test_descriptors_are_named_by_what_they_were() -> None:
    """The peer that a socket is connected to, not the number."""
    made = recording(SERVER)
    made.extra.append(Descriptor(0, 7, 0, "tcp 127.0.0.1:1 -> 10.0.0.5:5432"))
    assert table(build(made.capture()))[0].descriptors == ("tcp 127.0.0.1:1 -> 10.0.0.5:5432",)


def test_a_file_is_never_called_a_socket() -> None:
    """A number that was given to a socket before anyone looked says nothing about the file."""
    made = recording("m: hold 0-1ms call=_io.FileIO.read fd=3  hold 3-4ms")
    made.extra.append(Descriptor(0, 3, 0, "tcp listening 127.0.0.1:80"))
    assert table(build(made.capture()))[0].descriptors == ()


def test_activity_adds_up_to_the_time_off_the_gil() -> None:
    """Each kind has its own sum; what is held without running is counted apart."""
    trace = timeline("""
        a: hold 0-1ms call=_socket.socket.recv cpu=0-1ms
        a: hold 3-13ms call=time.sleep cpu=1ms-3ms
        a: hold 17-18ms call=_thread.lock.acquire cpu=3ms-4ms
        a: hold 26-27ms call=zlib.compress cpu=4ms-5ms
        a: hold 43-44ms cpu=21ms-22ms
    """)
    assert activities(trace) == [
        Activity(
            thread=0,
            blocked_ns=2 * MS,
            sleep_ns=4 * MS,
            lock_ns=8 * MS,
            native_ns=16 * MS,
            switch_ns=0,
            unknown_ns=0,
            not_running_ns=8 * MS,
        )
    ]


def test_an_empty_trace_has_no_rows() -> None:
    """Nothing was recorded: no rows, no failure."""
    trace = build(Recording().capture())
    assert (table(trace), activities(trace)) == ([], [])
