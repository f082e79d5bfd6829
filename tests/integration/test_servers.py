"""The servers of the experiment, recorded beside a CPU-bound thread: named calls and blame."""

from __future__ import annotations

from pathlib import Path

import pytest

import giltrace
from giltrace.analysis.blame import blame, table
from giltrace.analysis.calls import Source
from giltrace.analysis.calls import table as call_table
from giltrace.model import OffKind
from tests.support.recorder import record

# What each server does for a request, besides what it does to start.
CALLS = {
    "python-zmq": {"zmq.Socket.recv", "zmq.Socket.send"},
    "multiprocessing": {"socket.accept", "os.read", "os.write"},
    "blocking": {"socket.accept", "socket.recv", "socket.sendall"},
    "nonblocking": {"select.epoll.poll", "socket.recv", "socket.send"},
    "asyncio": {"select.epoll.poll", "socket.recv", "socket.send"},
    "threadpool": {"socket.recv", "socket.sendall"},
    "keystroke": {"os.read", "os.write"},
}


@pytest.mark.parametrize("server", CALLS)
def test_every_call_has_its_name_and_every_wait_its_culprit(server: str, tmp_path: Path) -> None:
    """95 % of the time off the GIL is named by the call itself; the spinning line is to blame."""
    if server == "python-zmq":
        pytest.importorskip("zmq")
    output = tmp_path / "out.giltrace"
    target = ("-m", "giltrace", "scenario", server, "--load", "1", "--requests", "50")
    done = record(output, *target)
    assert done.returncode == 0, done.stderr
    trace = giltrace.load(output)
    rows = call_table(trace)
    total = sum(row.off_ns for row in rows)
    named = sum(row.off_ns for row in rows if row.source is Source.CALL)
    known = sum(row.off_ns for row in rows if row.kind is not OffKind.UNKNOWN)
    assert named >= 0.95 * total and known >= 0.95 * total, rows
    assert {row.call for row in rows} >= CALLS[server]
    _spin_is_to_blame(trace)


def _spin_is_to_blame(trace: giltrace.Trace) -> None:
    name = (
        "server_0" if any(thread.name == "server_0" for thread in trace.threads) else "MainThread"
    )
    server = next(thread.index for thread in trace.threads if thread.name == name)
    mine = [row for row in table(trace) if row.waiter == server]
    waited = sum(row.wait_ns for row in mine)
    assert waited == int(trace.waits.ns[trace.waits.thread == server].sum()), "to the nanosecond"
    spin = sum(row.wait_ns for row in mine if trace.places[row.place].qualname == "spin")
    assert spin >= 0.95 * waited, mine
    parts = blame(trace)
    assert int(parts.ns.sum()) == int(trace.waits.ns.sum())
