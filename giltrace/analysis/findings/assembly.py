"""Making a finding of waits: who lost time, to whom, in which calls, when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from giltrace.analysis.calls import call_name
from giltrace.analysis.findings.finding import (
    Alternation,
    Cycle,
    Finding,
    Grounds,
    Hog,
    HogPlace,
    Kind,
    LetGo,
    Victim,
)
from giltrace.analysis.findings.overlaps import Parts
from giltrace.analysis.findings.scene import Scene
from giltrace.model.dense import numbered, sums
from giltrace.model.scheduling import Scheduled, time_in
from giltrace.model.tables import I8, Bool

MOST: Final = 20
"""Threads of a kind, or calls, that a finding lists at most."""
EVIDENCE: Final = 10
"""Waits that it lists at most."""
_PLACES: Final = 5
_GROUPS: Final = 1_000


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """A finding, and the waits that it counts.

    Attributes:
        finding: what was found.
        counted: int64, waits of the GIL's scene: no later finding counts them.
    """

    finding: Finding
    counted: I8


def assemble(
    scene: Scene,
    kind: Kind,
    rows: I8,
    free: Bool,
    *,
    fitting_ns: int,
    parts: Parts | None = None,
    cycles: Callable[[Scene, int, I8], Cycle | None] | None = None,
    alternation: Alternation | None = None,
    cases: int | None = None,
) -> Found:
    """A finding about some waits.

    Args:
        scene: the GIL.
        kind: what it is.
        rows: int64, ascending, the waits; at least one.
        free: bool, waits of the scene that no other finding counts.
        fitting_ns: how much of their time the explanation accounts for.
        parts: what parts of holds count as hogging; None for all of each.
        cycles: looks for what a victim does again and again.
        alternation: of a ping-pong.
        cases: what says so, if it is not the waits.
    """
    ns = scene.wait_ns[rows]
    total, counted = int(ns.sum()), rows[free[rows]]
    lost = int(scene.wait_ns[counted].sum())
    victims, threads = _victims(scene, rows, cycles)
    finding = Finding(
        kind=kind,
        gil=scene.gil.index,
        victims=victims,
        hogs=_hogs(scene, rows, parts or scene.whole),
        calls=_calls(scene, rows),
        threads=threads,
        waits=len(rows),
        lost_ns=lost,
        shared_ns=total - lost,
        max_ns=int(ns.max()),
        interval_ns=int(scene.overlaps.on(scene.interval_parts, rows).sum()),
        overdue_ns=int(scene.overlaps.on(scene.overdue_parts, rows).sum()),
        switch_interval_ns=scene.gil.switch_interval_ns,
        start_ns=int(scene.wait_start[rows].min()),
        end_ns=int(scene.wait_end[rows].max()),
        evidence=tuple((_examples(rows, ns) + scene.first_wait).tolist()),
        grounds=Grounds(
            cases=len(rows) if cases is None else cases,
            fitting_ns=fitting_ns,
            of_ns=total,
            recorded=recorded(scene),
        ),
        alternation=alternation,
    )
    return Found(finding, counted)


def recorded(scene: Scene) -> float:
    """Share of the process's events that are on record."""
    lost = scene.trace.processes[scene.gil.process].lost_events
    known = 2 * len(scene.holder) + len(scene.waiter)
    return known / (known + lost) if known + lost else 1.0


def _examples(rows: I8, ns: I8) -> I8:
    """Some of the waits, from the longest to the shortest."""
    order = np.argsort(-ns, kind="stable")
    return rows[order[np.linspace(0, len(rows) - 1, min(EVIDENCE, len(rows))).astype(np.int64)]]


def _victims(
    scene: Scene, rows: I8, cycles: Callable[[Scene, int, I8], Cycle | None] | None
) -> tuple[tuple[Victim, ...], int]:
    """Who lost most, and how many did."""
    threads, index = numbered(scene.waiter[rows])
    ns = scene.wait_ns[rows]
    lost = sums(index, ns, len(threads))
    found = []
    for number in np.argsort(-lost, kind="stable")[:MOST].tolist():
        mine, thread = index == number, int(threads[number])
        victim = Victim(
            thread=thread,
            waits=int(np.count_nonzero(mine)),
            lost_ns=int(lost[number]),
            max_ns=int(ns[mine].max()),
            acquires=int(scene.acquires[thread]),
            cycle=cycles(scene, thread, rows[mine]) if cycles else None,
        )
        found.append(victim)
    return tuple(found), len(threads)


def _hogs(scene: Scene, rows: I8, parts: Parts) -> tuple[Hog, ...]:
    """On whose holds the waits fell most."""
    laid = scene.overlaps.laid(parts, rows)
    holds = np.flatnonzero(laid > 0)
    ns = laid[holds]
    del laid
    threads, index = numbered(scene.holder[holds])
    lost = sums(index, ns, len(threads))
    found = []
    for number in np.argsort(-lost, kind="stable")[:MOST].tolist():
        mine = index == number
        own = holds[mine]
        hog = Hog(
            thread=int(threads[number]),
            holds=len(own),
            lost_ns=int(lost[number]),
            hold_ns=int((scene.hold_end[own] - scene.hold_start[own]).sum()),
            not_running_ns=_not_running(scene, own),
            preempted_ns=_preempted(scene, own),
            places=_places(scene, own, ns[mine]),
        )
        found.append(hog)
    return tuple(found)


def _not_running(scene: Scene, holds: I8) -> int | None:
    idle = scene.not_running_ns[holds]
    known = idle[idle >= 0]
    return int(known.sum()) if len(known) else None


def _preempted(scene: Scene, holds: I8) -> int | None:
    start, end, kernel = scene.hold_start[holds], scene.hold_end[holds], scene.trace.scheduling
    ns, known = time_in(kernel, scene.holder[holds], start, end, Scheduled.RUNNABLE)
    return int(ns[known].sum()) if known.any() else None


def _places(scene: Scene, holds: I8, ns: I8) -> tuple[HogPlace, ...]:
    """In which lines a hog's holds ended."""
    place = scene.place[holds]
    line = scene.trace.line_of[place]
    keys, index = numbered(scene.call[holds].astype(np.int64) << 32 | line)
    lost, times = sums(index, ns, len(keys)), np.bincount(index, minlength=len(keys))
    found = []
    for number in np.argsort(-lost, kind="stable")[:_PLACES].tolist():
        # For the line stands the place in it that cost most.
        mine = np.flatnonzero(index == number)
        places, one = numbered(place[mine].astype(np.int64))
        dearest = int(places[sums(one, ns[mine], len(places)).argmax()])
        call = int(keys[number]) >> 32
        found.append(HogPlace(dearest, call, int(times[number]), int(lost[number])))
    return tuple(found)


def _calls(scene: Scene, rows: I8) -> tuple[LetGo, ...]:
    """In which calls the victims had let go by themselves."""
    rows = rows[scene.after_release[rows]]
    behind = scene.before[rows]
    sites, site = numbered(scene.call[behind].astype(np.int64) << 32 | scene.place[behind])
    keys, index = numbered(scene.waiter[rows].astype(np.int64) * max(1, len(sites)) + site)
    columns = (
        np.bincount(index, minlength=len(keys)),
        sums(index, scene.off_ns(rows), len(keys)),
        sums(index, scene.wait_ns[rows], len(keys)),
    )
    merged: dict[tuple[int, str], LetGo] = {}
    # The dearest first: the first place of each call is the one to name.
    for number in np.argsort(-columns[2], kind="stable")[:_GROUPS].tolist():
        thread, at = divmod(int(keys[number]), len(sites))
        call, place = divmod(int(sites[at]), 1 << 32)
        name, source = call_name(scene.trace, call, place)
        waits, off_ns, lost_ns = (int(column[number]) for column in columns)
        known = merged.get((thread, name))
        merged[thread, name] = LetGo(
            thread,
            name,
            known.source if known else source,
            known.place if known else place,
            waits + (known.waits if known else 0),
            off_ns + (known.off_ns if known else 0),
            lost_ns + (known.lost_ns if known else 0),
        )
    return tuple(
        sorted(merged.values(), key=lambda row: (-row.lost_ns, row.thread, row.call))[:MOST]
    )
