"""Processes, GILs and threads: what the records say, made whole where records are missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from giltrace.capture.reader import Capture
from giltrace.capture.records import (
    GilInfo,
    ProcessEnd,
    ProcessInfo,
    SwitchInterval,
    ThreadInfo,
    ThreadName,
)
from giltrace.model.mending import MAX_NS
from giltrace.model.tables import Gil, Process, Thread

_T = TypeVar("_T", GilInfo, SwitchInterval, ThreadInfo, ThreadName)


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one process.

    Attributes:
        info: None if it is missing.
        end: the last one, or None.
        gils: by number.
        threads: by number.
        names: of each thread, in file order.
        intervals: of each GIL, in file order.
    """

    info: ProcessInfo | None
    end: ProcessEnd | None
    gils: dict[int, GilInfo]
    threads: dict[int, ThreadInfo]
    names: dict[int, list[ThreadName]]
    intervals: dict[int, list[SwitchInterval]]


def records_by_process(capture: Capture) -> dict[int, Records]:
    """The records of every process that the capture mentions, by its number, ascending.

    Events alone are enough; a stray record of another kind is no process.
    """
    infos = {info.process: info for info in reversed(capture.processes)}
    ends = {end.process: end for end in capture.process_ends}
    gils = _by_process(capture.gils)
    threads = _by_process(capture.threads)
    names = _by_process(capture.thread_names)
    intervals = _by_process(capture.switch_intervals)
    found = {}
    for number in sorted({*infos, *(n for n, events in capture.events.items() if len(events))}):
        names_of: dict[int, list[ThreadName]] = defaultdict(list)
        for name in names[number]:
            names_of[name.thread].append(name)
        intervals_of: dict[int, list[SwitchInterval]] = defaultdict(list)
        for interval in intervals[number]:
            intervals_of[interval.gil].append(interval)
        found[number] = Records(
            info=infos.get(number),
            end=ends.get(number),
            gils={gil.gil: gil for gil in reversed(gils[number])},
            threads={thread.thread: thread for thread in reversed(threads[number])},
            names=names_of,
            intervals=intervals_of,
        )
    return found


def _by_process(records: Iterable[_T]) -> defaultdict[int, list[_T]]:
    grouped: defaultdict[int, list[_T]] = defaultdict(list)
    for record in records:
        grouped[record.process].append(record)
    return grouped


def sane_ns(ns: int) -> int:
    """A time from a record, within what columns can hold."""
    return min(max(ns, 0), MAX_NS)


def process_window(records: Records, first_ns: int | None, last_ns: int | None) -> tuple[int, int]:
    """When a process was watched.

    Args:
        records: of the process.
        first_ns: its first event, or None if it has none.
        last_ns: its last event, or None.
    """
    starts = [first_ns] if first_ns is not None else []
    ends = [last_ns] if last_ns is not None else []
    if records.info is not None:
        starts.append(sane_ns(records.info.start_ns))
    if records.end is not None:
        ends.append(sane_ns(records.end.ts_ns))
    start = min(starts, default=0)
    return start, max(start, *ends) if ends else start


def make_process(
    index: int, records: Records, window: tuple[int, int], lost_events: int
) -> Process:
    """The process of these records; ``lost_events`` is what the events themselves say."""
    info = records.info or ProcessInfo(0, pid=0, ppid=0, start_ns=0, python="")
    end = records.end
    return Process(
        index=index,
        pid=info.pid,
        ppid=info.ppid,
        python=info.python,
        implementation=info.implementation,
        executable=info.executable,
        argv=tuple(info.argv),
        backend=info.backend,
        switch_interval_ns=info.switch_interval_ns,
        start_ns=window[0],
        end_ns=window[1],
        gil_enabled=info.gil_enabled,
        lost_events=max(lost_events, end.lost_events if end else 0),
        notes=(*info.notes, *(end.notes if end else ())),
        status=end.status if end else "",
        ended=end is not None,
    )


def make_gil(index: int, process: Process, number: int, records: Records, start_ns: int) -> Gil:
    """One GIL of a process, watched since ``start_ns``."""
    info = records.gils.get(number)
    intervals = tuple(
        (sane_ns(change.ts_ns), sane_ns(change.interval_ns))
        for change in sorted(records.intervals.get(number, []), key=lambda change: change.ts_ns)
    )
    return Gil(
        index=index,
        process=process.index,
        number=number,
        # Number 0 is the main interpreter's in every back end.
        interpreter=info.interpreter if info else (0 if number == 0 else -1),
        switch_interval_ns=intervals[-1][1] if intervals else process.switch_interval_ns,
        start_ns=start_ns,
        end_ns=process.end_ns,
        switch_intervals=intervals,
    )


def gil_start(number: int, records: Records, window: tuple[int, int], first_ns: int | None) -> int:
    """Since when a GIL was watched: its creation, but no later than its first event."""
    info = records.gils.get(number)
    start = max(window[0], sane_ns(info.created_ns) if info else 0)
    return min(start, window[1] if first_ns is None else first_ns)


def make_thread(
    index: int, process: Process, number: int, records: Records, span: tuple[int, int] | None
) -> Thread:
    """One thread of a process; ``span`` is from its first to its last event, if it has any."""
    info = records.threads.get(number)
    start = sane_ns(info.start_ns) if info else process.start_ns
    names = [(start, info.name)] if info and info.name else []
    names += [(sane_ns(name.ts_ns), name.name) for name in records.names.get(number, [])]
    names.sort(key=lambda since_and_name: since_and_name[0])
    tid = info.tid if info else 0
    last = next((name for _, name in reversed(names) if name), "")
    if span is not None:
        start = min(start, span[0])
    return Thread(
        index=index,
        process=process.index,
        number=number,
        tid=tid,
        name=last or (f"thread {tid}" if tid else f"thread #{number}"),
        names=tuple(names),
        start_ns=start,
        end_ns=max(start, span[1] if span else start),
    )
