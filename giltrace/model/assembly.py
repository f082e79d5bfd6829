"""The columns of one process: lanes to holds, waits and drop requests with their final numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from giltrace.capture.events import CALL_SHIFT, PAYLOAD_SHIFT, Kind
from giltrace.capture.records import CodeInfo
from giltrace.model import cpu, priorities, spans
from giltrace.model.causes import causes
from giltrace.model.dense import constant, gather, is_constant, pieces
from giltrace.model.drafts import Draft, Window, draft_holds
from giltrace.model.lanes import Lanes
from giltrace.model.mending import Mended
from giltrace.model.places import PlaceTable
from giltrace.model.source import LaneIds
from giltrace.model.source import flags as flags_of
from giltrace.model.tables import (
    I4,
    I8,
    U1,
    U2,
    U4,
    U8,
    Columns,
    CpuReadings,
    DropRequests,
    FunctionSpans,
    Holds,
    Priorities,
    Waits,
)
from giltrace.model.waiting import draft_requests, draft_waits, grants

_C = TypeVar("_C", bound=Columns)


@dataclass(frozen=True, slots=True)
class Texts:
    """What gives events their places and calls.

    Attributes:
        codes: the code objects of the process by id.
        places: all places of the trace; grows.
        calls: int32, for each call id of the process the number of the call in the trace.
    """

    codes: Mapping[int, CodeInfo]
    places: PlaceTable
    calls: I4


@dataclass(frozen=True, slots=True)
class Extras:
    """What does not concern a GIL; threads are places in the threads of the source."""

    cpu: CpuReadings
    spans: FunctionSpans
    priorities: Priorities


@dataclass(frozen=True, slots=True)
class Part:
    """The columns of one process, or of several; hold indices count from its own first hold."""

    holds: Holds
    waits: Waits
    drop_requests: DropRequests
    breaks: I8
    cpu: CpuReadings
    spans: FunctionSpans
    priorities: Priorities


@dataclass(frozen=True, slots=True)
class _Releases:
    """What the release of each hold says; columns as in `Holds`."""

    place: I4
    stack: I4
    call: I4
    fd: I4


def assemble(
    lanes: Lanes,
    extras: Extras,
    window: Window,
    numbers: tuple[I4, I4],
    texts: Texts,
    *,
    mended: Mended,
) -> Part:
    """All columns of one process.

    Args:
        lanes: its events; used up, of which only ``lane`` is sure to be left.
        extras: what else there is of it.
        window: when it was watched.
        numbers: for each thread, and for each GIL, of the source its index in the trace.
        texts: what gives events their places and calls.
        mended: grows by what had to be mended.
    """
    # In this order, and each step letting go of what the next ones do not need: the columns of a
    # large capture should not be in memory more often than they have to.
    draft = draft_holds(lanes, window, mended)
    granted = grants(lanes, draft, mended)
    breaks = _breaks(lanes, draft)
    if not draft.moved:
        draft = replace(draft, of_event=np.zeros(0, np.int32))
    requests = draft_requests(lanes, draft, granted, mended)
    releases, flags = _releases(lanes, draft, texts)
    lanes.let_go_of_releases()
    cause = causes(draft, lanes.blind, requests.hold[requests.hold >= 0], flags)
    del flags
    waits = draft_waits(lanes, draft, granted, window)
    del granted
    lanes.let_go_of_times()
    return Part(
        Holds(
            *_numbered(lanes, draft.lane, numbers),
            draft.start,
            draft.end,
            np.maximum(draft.tenure, 0, out=draft.tenure),
            releases.place,
            cause,
            releases.stack,
            releases.call,
            releases.fd,
        ),
        Waits(
            *_numbered(lanes, waits.lane, numbers),
            waits.start,
            waits.end,
            waits.hold,
            waits.requests,
        ),
        DropRequests(
            *_numbered(lanes, requests.lane, numbers), requests.ts, requests.hold, requests.early
        ),
        breaks,
        cpu.renumbered(extras.cpu, numbers[0]),
        spans.renumbered(extras.spans, numbers[0]),
        priorities.renumbered(extras.priorities, numbers[0]),
    )


def join(parts: Sequence[Part]) -> Part:
    """Several parts as one, in that order."""
    moved = []
    offset = 0
    for part in parts:
        moved.append(_moved(part, offset) if offset else part)
        offset += len(part.holds)
    return Part(
        _joined(Holds, [part.holds for part in moved]),
        _joined(Waits, [part.waits for part in moved]),
        _joined(DropRequests, [part.drop_requests for part in moved]),
        np.concatenate([np.zeros(0, np.int64), *(part.breaks for part in moved)]),
        _joined(CpuReadings, [part.cpu for part in moved]),
        _joined(FunctionSpans, [part.spans for part in moved]),
        _joined(Priorities, [part.priorities for part in moved]),
    )


def _breaks(lanes: Lanes, draft: Draft) -> I8:
    """Holds after which the record of their lane has a hole, ascending."""
    torn = np.flatnonzero(~lanes.follows[:-1] & (lanes.lane[1:] == lanes.lane[:-1]))
    torn = torn[lanes.kind[torn] == Kind.RELEASE]
    before = np.maximum(torn - 1, 0)
    paired = (torn > 0) & lanes.follows[before] & (lanes.kind[before] == Kind.ACQUIRE)
    hold = draft.of_event[np.where(paired, before, torn)]
    unreleased = np.flatnonzero((draft.release < 0) & ~draft.open)
    return np.unique(np.concatenate((hold[hold >= 0], unreleased))).astype(np.int64)


def _numbered(lanes: Lanes, lane: LaneIds, numbers: tuple[I4, I4]) -> tuple[I4, I4]:
    """The GILs and threads of these lanes as indices into the trace."""
    thread, gil = numbers
    if len(lane) == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    if lanes.n_gils == 1:
        return constant(int(gil[0]), len(lane), np.int32), gather(thread, lane)
    each = np.arange(len(thread) * lanes.n_gils)
    return gather(gil[each % lanes.n_gils], lane), gather(thread[each // lanes.n_gils], lane)


def _releases(lanes: Lanes, draft: Draft, texts: Texts) -> tuple[_Releases, U1]:
    """What the release of each hold says, and its flags; nothing where there is none."""
    released = draft.release >= 0
    none = constant(0, len(draft), np.int32)
    if not released.any():
        no_fd, no_flags = constant(-1, len(draft), np.int32), np.zeros(len(draft), np.uint8)
        return _Releases(none, none, none, no_fd), no_flags
    # Any release will do where there is none: what it says is taken away again.
    at = draft.release
    if not released.all():
        at = np.where(released, at, at.max())
    words, flags, call_id = _said(lanes.data, at)
    place = texts.places.resolve(words, texts.codes)
    del words
    call = none if call_id is None else gather(texts.calls, call_id)
    stack, fd = gather(lanes.stack, at), gather(lanes.fd, at)
    for column, nothing in ((place, 0), (stack, 0), (flags, 0), (call, 0), (fd, -1)):
        if not is_constant(column):
            column[~released] = nothing
    return _Releases(place, stack, call, fd), flags


def _said(data: U8, at: I4) -> tuple[U4, U1, U2 | None]:
    """uint32, uint8, uint16: frame words, flags and call ids of these RELEASE events.

    None for the last if no release has one.
    """
    frame_words, flags = np.empty(len(at), np.uint32), np.empty(len(at), np.uint8)
    calls = None
    for some in pieces(len(at)):
        words = data.take(at[some])
        frame_words[some] = words >> np.uint64(PAYLOAD_SHIFT)
        flags[some] = flags_of(words)
        here = words >> np.uint64(PAYLOAD_SHIFT + CALL_SHIFT)
        if calls is None and here.any():
            calls = np.zeros(len(at), np.uint16)
        if calls is not None:
            calls[some] = here
    return frame_words, flags, calls


def _moved(part: Part, offset: int) -> Part:
    return Part(
        part.holds,
        replace(part.waits, hold=_shifted(part.waits.hold, offset)),
        replace(part.drop_requests, hold=_shifted(part.drop_requests.hold, offset)),
        part.breaks + offset,
        part.cpu,
        part.spans,
        part.priorities,
    )


def _shifted(hold: I8, offset: int) -> I8:
    return np.where(hold >= 0, hold + offset, -1)


_TYPES = {
    "gil": np.int32,
    "thread": np.int32,
    "place": np.int32,
    "stack": np.int32,
    "call": np.int32,
    "fd": np.int32,
    "depth": np.int32,
    "requests": np.int32,
    "cause": np.int8,
    "early": np.bool_,
    "priority": np.int32,
}


def _joined(kind: type[_C], parts: Sequence[_C]) -> _C:
    """The columns of all parts; without a copy if only one has any rows."""
    filled = [part for part in parts if len(part)]
    if len(filled) == 1:
        return filled[0]
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: _column(name, [getattr(part, name) for part in filled]) for name in names})


def _column(name: str, columns: Sequence[Any]) -> Any:
    """Columns of one name, end to end; where all hold one value, so does the result."""
    if columns and all(is_constant(column) for column in columns):
        value = int(columns[0][0])
        if all(int(column[0]) == value for column in columns):
            return constant(value, sum(map(len, columns)), columns[0].dtype.type)
    return np.concatenate([np.zeros(0, _TYPES.get(name, np.int64)), *columns])
