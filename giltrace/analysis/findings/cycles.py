"""What a thread does again and again: the call that begins each of its iterations."""

from __future__ import annotations

from typing import Final

import numpy as np

from giltrace.analysis.calls import call_name
from giltrace.analysis.findings.finding import Cycle
from giltrace.analysis.findings.scene import Scene
from giltrace.model.calls import IDLE_KINDS, kinds_of
from giltrace.model.dense import numbered, sums
from giltrace.model.tables import I4, I8, Bool, Cause

_FEW: Final = 3
"""Fewer times make no cycle."""
_SITES: Final = 1_000

# What a call is called behind its last dot: it gives, and does not wait for anything to do.
_GIVES: Final = frozenset({
    *("send", "sendall", "sendto", "sendmsg", "sendfile", "send_multipart", "send_bytes"),
    *("write", "writev", "writelines", "pwrite", "print", "flush", "fsync", "put", "release"),
    *("connect", "connect_ex", "close", "shutdown", "open", "stat", "lstat", "listdir"),
})  # fmt: skip
# It waits for something to do: to be recognised where only the source names calls.
_AWAITS: Final = frozenset({
    *("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recv_multipart", "recv_bytes"),
    *("read", "readinto", "readv", "readline", "accept", "poll", "select", "get", "acquire"),
    *("wait", "sleep"),
})  # fmt: skip


def cycle(scene: Scene, thread: int, rows: I8) -> Cycle | None:
    """What a victim does again and again while it stalls; None if nothing can be told.

    Its iterations begin with the call that waits for something to do after which it stalled most
    often; of several, that which took most time off the GIL. Where it is called several times in
    a row, as for the head and the body of a message, an iteration begins with the first of these
    after some other kind of call.

    Args:
        scene: the GIL.
        thread: the victim.
        rows: int64, its stalls.
    """
    holds = np.flatnonzero(scene.holder == thread)
    off_ns = _off_ns(scene, thread, holds)
    behind = scene.before[rows]
    kept = (holds >= behind[0]) & (holds < scene.granted[rows[-1]])
    kept &= scene.cause[holds] != Cause.FORCED
    holds, off_ns = holds[kept], off_ns[kept]
    sites, site = numbered(scene.call[holds].astype(np.int64) << 32 | scene.place[holds])
    # Stalls come after releases that are all among these, and both ascend.
    stalled = np.bincount(site[np.searchsorted(holds, behind)], minlength=len(sites))
    order = np.lexsort((-sums(site, off_ns, len(sites)), -stalled))[:_SITES]
    awaits = _awaits(scene, sites, order)
    for anchor in order[awaits[order]].tolist():
        begins = holds[_begins(site, anchor, awaits)]
        if len(begins) > _FEW:
            return _made(scene, rows, begins)
    return None


def begun(scene: Scene, thread: int, call: str, where: tuple[str, str]) -> I8:
    """int64: the holds of a thread after which its iterations begin, if a call begins them.

    The same call is the same work in another recording, even if its line has moved.

    Args:
        scene: the GIL.
        thread: whose iterations.
        call: what the call is called.
        where: base name of the file and qualified name of the function it is made in.
    """
    holds = np.flatnonzero((scene.holder == thread) & (scene.cause != Cause.FORCED))
    sites, site = numbered(scene.call[holds].astype(np.int64) << 32 | scene.place[holds])
    common = np.argsort(-np.bincount(site, minlength=len(sites)), kind="stable")[:_SITES]
    same = np.zeros(len(sites), np.bool_)
    for number in common.tolist():
        calls, at = divmod(int(sites[number]), 1 << 32)
        place = scene.trace.places[at]
        found = call_name(scene.trace, calls, at)[0], place.basename, place.qualname
        same[number] = found == (call, *where)
    if not same.any():
        return np.zeros(0, np.int64)
    awaits = _awaits(scene, sites, common) | same
    anchor = int(np.flatnonzero(same)[0])
    begins: I8 = holds[_begins(np.where(same[site], anchor, site), anchor, awaits)]
    return begins


def _begins(site: I4, anchor: int, awaits: Bool) -> I8:
    """Which of the releases begin an iteration, if those at the site ``anchor`` do."""
    begins = np.flatnonzero(site == anchor)
    fresh = np.diff(np.cumsum(~awaits[site])[begins]) > 0
    # What comes between now and then, as a line that is printed, does not end an iteration.
    return np.concatenate((begins[:1], begins[1:][fresh])) if fresh.sum() >= _FEW else begins


def _made(scene: Scene, rows: I8, begins: I8) -> Cycle:
    """The cycle whose iterations begin at the end of some holds.

    The last one may not be on record as a whole, so it only ends the one before it.
    """
    start, end = scene.hold_end[begins[[0, -1]]]
    mine = rows[(scene.wait_start[rows] >= start) & (scene.wait_start[rows] < end)]
    call, place = int(scene.call[begins[0]]), int(scene.place[begins[0]])
    return Cycle(
        call=call_name(scene.trace, call, place)[0],
        place=place,
        iterations=len(begins) - 1,
        waits=len(mine),
        lost_ns=int(scene.wait_ns[mine].sum()),
    )


def _off_ns(scene: Scene, thread: int, holds: I8) -> I8:
    """int64: for how long a thread was off the GIL after each of its holds; 0 after the last."""
    request = scene.hold_start[holds]
    waits = np.flatnonzero((scene.waiter == thread) & (scene.granted >= 0))
    request[np.searchsorted(holds, scene.granted[waits])] = scene.wait_start[waits]
    off_ns = np.zeros(len(holds), np.int64)
    off_ns[:-1] = np.maximum(request[1:] - scene.hold_end[holds[:-1]], 0)
    return off_ns


def _awaits(scene: Scene, sites: I8, some: I8) -> Bool:
    """Bool [sites]: whether it waits for something to do; False for all but ``some``."""
    awaits = np.zeros(len(sites), np.bool_)
    kinds = kinds_of(scene.trace.calls)
    for number in some.tolist():
        call, place = divmod(int(sites[number]), 1 << 32)
        name = call_name(scene.trace, call, place)[0].rpartition(".")[2]
        idle = int(kinds[call]) in IDLE_KINDS
        awaits[number] = name in _AWAITS or (idle and name not in _GIVES)
    return awaits
