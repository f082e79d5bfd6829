"""Timelines that tell one story each, for whatever explains traces."""

from __future__ import annotations

from typing import Final


def convoy(messages: int = 4) -> str:
    """A server that waits a switch interval for each message, because a thread computes."""
    spin, serve = ["hold 0-6ms at load.py:12 in spin check"], []
    for start in range(0, 10 * messages, 10):
        serve.append(f"wait {start + 1}-{start + 6}ms request@{start + 6}ms")
        serve.append(f"hold {start + 6}-{start + 7}ms at server.py:41 in handle")
        spin.append(f"wait {start + 6}-{start + 7}ms")
        spin.append(f"hold {start + 7}-{start + 16}ms at load.py:12 in spin check")
    spin[-1] = spin[-1].replace(" check", " still")
    return f"MainThread: {' '.join(serve)}\nThread-1: {' '.join(spin)}"


HEALTHY: Final = """
    MainThread: hold 0-1ms at app.py:5 in main  hold 3-4ms at app.py:7 in main
    worker:     hold 1.5-2ms at app.py:20 in work
"""

ONE_THREAD: Final = "MainThread: hold 0-7ms at app.py:5 in main  hold 8-10ms at app.py:9 in main"

EMPTY: Final = "process 100 end=2s"

NO_GIL: Final = "process 100 python=3.14.0 nogil end=2s"

LOST: Final = """
    process 100 lost=17
    MainThread: hold 0-7ms at app.py:5 in main lost 17 hold 8-10ms at app.py:5 in main
"""

UNFINISHED: Final = """
    process 100 end=none
    MainThread: hold 0-7ms at app.py:5 in main
    unfinished
"""

LONG_HOLD: Final = """
    C:  hold 0-700ms at regex.py:3 in search check
    io: wait 1-700ms request@6ms request@11ms hold 700-701ms at server.py:41 in handle
"""

TURNS: Final = """
    A: hold 0-5ms at a.py:1 in f check
    A: wait 5-10ms request@10ms hold 10-15ms at a.py:1 in f check
    A: wait 15-20ms request@20ms hold 20-25ms at a.py:1 in f check
    B: wait 0.5-5ms request@5ms hold 5-10ms at b.py:2 in g check
    B: wait 10-15ms request@15ms hold 15-20ms at b.py:2 in g check
    B: wait 20-25ms request@25ms hold 25-30ms at b.py:2 in g check
"""

MILD: Final = """
    A:  hold 0-900ms at a.py:1 in f  hold 902-2000ms at a.py:1 in f
    io: wait 899.8-900.1ms hold 900.1-900.2ms at server.py:41 in handle
"""

TWO_PROCESSES: Final = """
    process 100
    worker: hold 0-1ms at app.py:5 in main
    process 200 ppid=100
    worker: hold 0-1ms at app.py:5 in main
    io:     wait 0.5-1ms hold 1-2ms at server.py:41 in handle
"""

HELD_IDLE: Final = """
    C:  hold 0-9ms at x.py:3 in call cpu=0-1ms
    io: wait 1-9ms hold 9-10ms at server.py:41 in handle
"""

UNSEEN: Final = """
    io:  hold 0-1ms at s.py:1 call=_socket.socket.sendall
    io:  wait 1.05-6.1ms request@6.05ms hold 6.1-7.1ms at s.py:2 call=_socket.socket.recv
    io:  hold 7.11-8ms at s.py:1 call=_socket.socket.sendall
    io:  wait 8.05-14.1ms request@14.05ms hold 14.1-15.1ms at s.py:2 call=_socket.socket.recv
    io:  hold 15.11-16ms at s.py:1 call=_socket.socket.sendall
    io:  wait 16.05-22.1ms request@22.05ms hold 22.1-23.1ms at s.py:2 call=_socket.socket.recv
    io:  hold 23.11-24ms
    cpu: hold 1.01-6.08ms at c.py:1 check
    cpu: hold 8.01-14.08ms at c.py:1 check
    cpu: hold 16.01-22.08ms at c.py:1 check
    cpu: hold 25-30ms at c.py:1
"""


def starvation() -> str:
    """Two threads take turns, short ones, while a third one waits through all of them."""
    lines = ["io: wait 1-62ms request@6ms hold 62-63ms at s.py:4 in read"]
    lines += [f"{'ab'[i % 2]}: hold {2 * i}-{2 * i + 2}ms at x.py:1 in f" for i in range(31)]
    return "\n".join(lines)


INVERSION: Final = """
    low: event@0 kind=11 payload=4294967295 hold 0-8ms at c.py:1 in crunch check
    io:  wait 1-8ms request@1.01ms hold 8-8.1ms at s.py:4 in read
    low: wait 8.02-8.1ms hold 8.1-16ms at c.py:1 in crunch check
    io:  wait 9-16ms request@9.01ms hold 16-16.1ms at s.py:4 in read
    low: wait 16.02-16.1ms hold 16.1-24ms at c.py:1 in crunch
"""
"""An urgent thread waits for one of priority -1 that does not let go."""


def ping_pong(times: int = 200) -> str:
    """Two threads that wake each other up through a queue."""
    call = "call=_queue.SimpleQueue.get"
    lines = []
    for t in range(0, 10 * times, 10):
        lines += [
            f"a: hold {t}-{t + 4}us at p.py:5 in ping {call}",
            f"b: wait {t + 3}-{t + 5}us hold {t + 5}-{t + 9}us at p.py:9 in pong {call}",
        ]
    return "\n".join(lines)


def needless(messages: int = 6) -> str:
    """A convoy whose victim lets go in calls that are over at once."""
    lines = []
    for t in range(0, 6_000 * messages, 6_000):
        lines += [
            f"io:  hold {t}-{t + 100}us at s.py:4 in read call=_socket.socket.recv",
            f"io:  wait {t + 150}-{t + 6000}us request@{t + 5150}us",
            f"cpu: hold {t + 110}-{t + 6000}us at c.py:1 in spin check",
        ]
    return "\n".join([*lines, f"io: hold {6_000 * messages}-{6_000 * messages + 100}us"])
