"""Calls of Python functions: SPAN and SPAN_END events, paired, and made to nest."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from giltrace.capture.events import Kind
from giltrace.capture.records import CodeInfo
from giltrace.model.dense import (
    batches,
    by_thread,
    gather,
    lifted,
    positions,
    segments,
)
from giltrace.model.mending import MAX_NS, Mended
from giltrace.model.places import PlaceTable
from giltrace.model.source import Source
from giltrace.model.tables import I4, I8, U2, Bool, FunctionSpans, Place

_BATCH = 1 << 20


def function_spans(
    src: Source, codes: Mapping[int, CodeInfo], places: PlaceTable, mended: Mended
) -> FunctionSpans:
    """The function calls of one process; threads are places in ``src.threads``.

    Args:
        src: the events.
        codes: the code objects of the process by id.
        places: all places of the trace; grows.
        mended: grows by what had to be left out.
    """
    begin, finish = _pairs(src, mended)
    thread = src.ranks_of(begin)
    start, end = gather(src.ts, begin), gather(src.ts, finish)
    sane = (start >= 0) & (start <= end) & (end <= MAX_NS)
    if not sane.all():
        mended.bad_times += len(sane) - int(np.count_nonzero(sane))
        begin, thread, start, end = begin[sane], thread[sane], start[sane], end[sane]
    order = _by_end(thread, end)
    if order is not None:
        begin, thread, start, end = begin[order], thread[order], start[order], end[order]
    order = _by_start(thread, start, len(src.threads))
    sound = _nesting(thread, start, end, order)
    mended.bad_spans += len(sound) - int(np.count_nonzero(sound))
    order = order[sound[order]]
    words = src.data[begin[order]].view("<u2")
    code, depth = words[1::4], words[2::4]
    thread, start, end = thread[order], start[order], end[order]
    first = ~_repeated(thread, start, end, code, depth)
    mended.duplicates += len(first) - int(np.count_nonzero(first))
    return FunctionSpans(
        thread[first],
        start[first],
        end[first],
        _places(code[first], codes, places),
        np.maximum(depth[first].astype(np.int32), 1),
    )


def renumbered(spans: FunctionSpans, threads: I4) -> FunctionSpans:
    """The calls with threads as indices into the trace: ``threads`` has that of each place."""
    return FunctionSpans(
        gather(threads, spans.thread), spans.start, spans.end, spans.place, spans.depth
    )


def nests(spans: FunctionSpans) -> Bool:
    """Bool: whether each call is inside, around or beside every other one of its thread.

    Calls are sorted by thread and start, outer before inner.
    """
    if len(spans) == 0:
        return np.zeros(0, np.bool_)
    # Back to the order of ends, in which inner ones come first.
    order = np.lexsort((np.arange(len(spans), 0, -1), spans.end, spans.thread))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    sound = _nesting(spans.thread[order], spans.start[order], spans.end[order], place)
    return sound[place]


def _pairs(src: Source, mended: Mended) -> tuple[I4, I4]:
    """int32, int32: file positions of each SPAN and its SPAN_END; by thread, in program order."""
    is_span = (src.kind - np.uint8(Kind.SPAN)) < np.uint8(2)
    spans = int(np.count_nonzero(is_span))
    if not spans:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    # Where events were lost, the two need not belong together.
    at = positions(is_span | (src.kind == Kind.LOST))
    thread = src.ranks_of(at)
    order = by_thread(thread, len(src.threads))
    at, thread = at[order], thread[order]
    kind = src.kind[at]
    paired = (kind[:-1] == Kind.SPAN) & (kind[1:] == Kind.SPAN_END) & (thread[1:] == thread[:-1])
    paired &= src.payload(at[:-1]) == src.payload(at[1:])
    begin = np.flatnonzero(paired)
    halves = max(int(np.count_nonzero(kind == one)) for one in (Kind.SPAN, Kind.SPAN_END))
    mended.bad_spans += halves - len(begin)
    return at[begin], at[begin + 1]


def _repeated(*columns: npt.NDArray[np.generic]) -> Bool:
    """Bool: rows that are like the one before them in every column."""
    repeated = np.ones(len(columns[0]), np.bool_)
    repeated[:1] = False
    for column in columns:
        repeated[1:] &= column[1:] == column[:-1]
    return repeated


def _by_end(thread: I4, end: I8) -> I8 | None:
    """int64: an order by thread and end, or None if that is the one they are in."""
    falls = (end[1:] < end[:-1]) & (thread[1:] == thread[:-1])
    return np.lexsort((end, thread)) if falls.any() else None


def _by_start(thread: I4, start: I8, threads: int) -> I8:
    """int64: the order by thread and start of spans that are in the order of their ends.

    Of those that begin at one time the outermost comes first: the one that ends last.
    """
    order = np.argsort(start[::-1], kind="stable")
    order = len(start) - 1 - order
    return order[by_thread(thread[order], threads)]


def _nesting(thread: I4, start: I8, end: I8, order: I8) -> Bool:
    """Bool: the spans that remain when those that cross another one are left out.

    Args:
        thread: int32 [n], ascending.
        start: int64 [n].
        end: int64 [n], ascending within a thread.
        order: as from `_by_start`.
    """
    nests: Bool = end == start  # what has no length crosses nothing
    if nests.all():
        return nests
    low, width = int(start.min()), int(end.max() - start.min()) + 1
    bounds = segments(thread, int(thread[-1]) + 1)
    for first, last in batches(bounds, width, _BATCH):
        some = slice(int(bounds[first]), int(bounds[last]))
        long = np.flatnonzero(~nests[some]) + some.start
        opens = order[some][~nests[order[some]]]
        begins = lifted(start[opens], thread[opens] - first, low, width)
        ends = lifted(end[long], thread[long] - first, low, width)
        nests[long[_own_brackets(begins, ends, np.searchsorted(long, opens))]] = True
    return nests


def _own_brackets(begins: I8, ends: I8, opens: I8) -> I8:
    """int64: which spans are pairs of brackets in the row of all beginnings and ends.

    Begin and end read as brackets make pairs of their own accord, and these nest. Where every span
    is one of the pairs, all nest; one that crosses another is not.

    Args:
        begins: int64 [n], ascending.
        ends: int64 [n], ascending; each span lasts for some time.
        opens: int64 [n], to which span, counted in the order of ends, each beginning belongs.
    """
    count = np.arange(len(begins))
    # A bracket and the one that closes it are on one level, and there they take turns. What ends
    # when another one begins is before it.
    level_of_begin = count - np.searchsorted(ends, begins, side="right")
    level_of_end = np.searchsorted(begins, ends, side="left") - count - 1
    opening = opens[_by_level(level_of_begin)]
    own: I8 = opening[opening == _by_level(level_of_end)]
    return own


def _by_level(level: I8) -> I8:
    """int64: a stable order by level; small numbers are sorted by radix."""
    narrow = level.astype(np.uint16) if int(level.max(initial=0)) < 1 << 16 else level
    order: I8 = np.argsort(narrow, kind="stable")
    return order


def _places(code: U2, codes: Mapping[int, CodeInfo], places: PlaceTable) -> I4:
    """int32: the place of each function."""
    number = np.zeros(1 << 16, np.int32)
    for one in np.unique(code).tolist():
        info = codes.get(one) if one else None
        if info is not None:
            number[one] = places.number(Place(info.filename, info.firstlineno, info.qualname))
    return number[code]
