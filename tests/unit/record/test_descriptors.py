"""What descriptors of real processes are said to be."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from giltrace.capture.events import Kind, pack_event
from giltrace.capture.records import Descriptor
from giltrace.record.descriptors import Descriptors, describe, fds_in
from giltrace.record.sockets import Sockets

SECOND = 1_000_000_000


def details(*fds: int) -> bytes:
    """Events of calls that are about these descriptors, among others."""
    return b"".join(
        pack_event(10**12 + fd, Kind.RELEASE, fd)
        + pack_event(0, Kind.DETAIL, fd)
        + pack_event(10**12 + fd, Kind.CPU, 8 << 20)
        for fd in fds
    )


def what(*fds: int, pid: int = 0) -> list[str]:
    """What descriptors of this process (or another) are, as far as one look tells."""
    watch = Descriptors(0, pid or os.getpid(), 0, Sockets())
    told = watch.update(details(*fds), SECOND)
    return [record.what for fd in fds for record in told if record.fd == fd]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """For what a test opens."""
    with ExitStack() as opened:
        yield opened


def test_fds_in_events() -> None:
    """Each descriptor that a DETAIL names, once, and nothing that other events hold."""
    events = details(3, 70_000, (1 << 31) - 1, 3, 0)
    assert {3, 70_000, (1 << 31) - 1, 0} == fds_in(events)
    assert {3, 70_000} == fds_in(events[: 16 * 5 + 7])
    assert set() == fds_in(b"".join(pack_event(8, kind, 8 << 8) for kind in Kind if kind != 8))
    assert set() == fds_in(b"")


def test_flags_and_gil_of_a_detail_do_not_matter() -> None:
    """Only the kind says what an event is, and what is no descriptor is left out."""
    assert {5} == fds_in(pack_event(0, Kind.DETAIL, 5 | 9 << 32, flags=15, gil=255))
    assert set() == fds_in(pack_event(0, Kind.DETAIL, (1 << 32) - 1))


def test_tcp(stack: ExitStack) -> None:
    """A listening socket has its address, a connection both, and each end its own view."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = stack.enter_context(socket.create_connection(server.getsockname()))
    accepted = stack.enter_context(server.accept()[0])
    here, there = server.getsockname()[1], client.getsockname()[1]
    assert what(server.fileno(), client.fileno(), accepted.fileno()) == [
        f"tcp listening 127.0.0.1:{here}",
        f"tcp 127.0.0.1:{there} -> 127.0.0.1:{here}",
        f"tcp 127.0.0.1:{here} -> 127.0.0.1:{there}",
    ]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_tcp6(stack: ExitStack) -> None:
    """IPv6 addresses are in brackets, those that stand for IPv4 look like IPv4."""
    server = stack.enter_context(
        socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    )
    port = server.getsockname()[1]
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    accepted = stack.enter_context(server.accept()[0])
    assert what(server.fileno(), accepted.fileno()) == [
        f"tcp listening [::]:{port}",
        f"tcp 127.0.0.1:{port} -> 127.0.0.1:{client.getsockname()[1]}",
    ]


def test_udp(stack: ExitStack) -> None:
    """A bound socket has one address, a connected one two."""
    bound = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    bound.bind(("127.0.0.1", 0))
    connected = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    connected.connect(bound.getsockname())
    here, there = bound.getsockname()[1], connected.getsockname()[1]
    assert what(bound.fileno(), connected.fileno()) == [
        f"udp 127.0.0.1:{here}",
        f"udp 127.0.0.1:{there} -> 127.0.0.1:{here}",
    ]


def test_unix(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that is bound to a path has it, spaces and all; so have its connections."""
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind("a b.sock")
    server.listen()
    client = stack.enter_context(socket.socket(socket.AF_UNIX))
    client.connect("a b.sock")
    accepted = stack.enter_context(server.accept()[0])
    assert what(server.fileno(), client.fileno(), accepted.fileno()) == [
        "unix listening a b.sock",
        "unix (unnamed)",
        "unix a b.sock",
    ]


def test_other_kinds(stack: ExitStack, tmp_path: Path) -> None:
    """Files have their path, the kernel's objects a short name."""
    file = stack.enter_context((tmp_path / "größe").open("wb"))
    epoll = stack.enter_context(select.epoll())
    fds = [*os.pipe(), os.eventfd(0), os.memfd_create("x"), os.open("/dev/null", os.O_RDONLY)]
    for fd in fds:
        stack.callback(os.close, fd)
    found = what(file.fileno(), epoll.fileno(), *fds)
    expected = [file.name, "epoll", "pipe", "pipe", "eventfd", "/memfd:x (deleted)", "/dev/null"]
    assert expected == found


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("anon_inode:[eventpoll]", "epoll"),
        ("anon_inode:inotify", "inotify"),
        ("anon_inode:[timerfd]", "timerfd"),
        ("pipe:[4711]", "pipe"),
        ("net:[4026531840]", "net"),
        ("/tmp/pipe:[4711]", "/tmp/pipe:[4711]"),
        ("strange: thing", "strange: thing"),
        ("/" + "x" * 600, "/" + "x" * 249 + "…" + "x" * 249),
    ],
)
def test_links(link: str, shown: str) -> None:
    """Numbers say nothing to people, and names have a limit."""
    assert shown == describe(link)


def test_what_cannot_be_seen() -> None:
    """Closed descriptors, and those of processes that have ended or never were, stay numbers."""
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    assert [] == what(reading, writing, (1 << 31) - 1)
    assert [] == what(0, 1, pid=1 << 22)
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert [] == what(0, 1, pid=process.pid)
    process.wait()


def test_of_another_process() -> None:
    """What a child's descriptors are, in the child."""
    code = "import os, sys; os.open('/dev/zero', 0); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert ["pipe", "/dev/zero"] == what(0, 3, pid=child.pid)


def test_told_once_and_again_when_changed(tmp_path: Path) -> None:
    """A number that was closed and opened again is told anew, as of the look before."""
    watch = Descriptors(7, os.getpid(), 5, Sockets())
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        assert [Descriptor(7, fd, 5, "/dev/null")] == watch.update(details(fd), 1 * SECOND)
        assert [] == watch.update(details(fd), 2 * SECOND)
        assert [] == watch.update(b"", 3 * SECOND)
        (tmp_path / "file").touch()
        other = os.open(tmp_path / "file", os.O_RDONLY)
        os.dup2(other, fd)
        os.close(other)
        # Not before the next look is due.
        assert [] == watch.update(details(fd), 2 * SECOND + 1)
        told = watch.update(b"", 4 * SECOND)
        assert [Descriptor(7, fd, 2 * SECOND, str(tmp_path / "file"))] == told
    finally:
        os.close(fd)


def test_many_take_their_turns(stack: ExitStack) -> None:
    """One look is bounded; those that were never seen come first at the next."""
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(150)]
    for fd in fds:
        stack.callback(os.close, fd)
    watch = Descriptors(0, os.getpid(), 0, Sockets())
    first = {record.fd for record in watch.update(details(*fds), 1 * SECOND)}
    second = {record.fd for record in watch.update(details(*fds), 2 * SECOND)}
    assert (100, 50) == (len(first), len(second))
    assert set(fds) == first | second


def test_a_socket_that_is_in_no_table(stack: ExitStack) -> None:
    """After some looks it is just a socket; what is still open in the end, likewise."""
    loose = stack.enter_context(socket.socket())
    watch = Descriptors(0, os.getpid(), 0, Sockets())
    told = [watch.update(details(loose.fileno()), at * SECOND) for at in range(1, 6)]
    expected = [Descriptor(0, loose.fileno(), 0, "socket")]
    assert [[], [], expected, [], []] == told
    assert [] == watch.rest()
    late = Descriptors(0, os.getpid(), 0, Sockets())
    assert [] == late.update(details(loose.fileno()), SECOND)
    assert expected == late.rest()
    assert [] == late.rest()


def test_tables_are_read_seldom(stack: ExitStack) -> None:
    """Between two readings there is a pause, and all who ask share what one has found."""
    sockets = Sockets()
    servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
    inodes = [os.fstat(server.fileno()).st_ino for server in servers]
    names = [f"tcp listening 127.0.0.1:{server.getsockname()[1]}" for server in servers]
    pid = os.getpid()
    # A process that is gone is asked first, and must not keep the others from their turn.
    assert {} == sockets.find(1 << 22, inodes[2:], 1 * SECOND)
    assert {} == sockets.find(pid, inodes[:1], 1 * SECOND + 1)
    found = sockets.find(pid, inodes[:2], 2 * SECOND) | sockets.find(pid, inodes, 3 * SECOND)
    assert dict(zip(inodes, names, strict=True)) == found
