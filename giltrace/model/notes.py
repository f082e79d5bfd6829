"""What the reader of any result has to be told about the recording, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from giltrace.capture.reader import Capture, Loss
from giltrace.model.mending import Mended
from giltrace.model.tables import Process


def capture_notes(
    capture: Capture, processes: Sequence[Process], lost_scheduling: int
) -> tuple[str, ...]:
    """What concerns the file as a whole."""
    return (*_capture_notes(capture, processes), *_scheduling_notes(capture, lost_scheduling))


def process_notes(process: Process, mended: Mended, *, any_events: bool) -> tuple[str, ...]:
    """What concerns one process; each sentence names it."""
    said = [*process.notes, *_gaps(process, any_events=any_events), *mended.sentences()]
    who = f"pid {process.pid}" if process.pid else f"process #{process.index}"
    return tuple(f"{who}: {sentence}" for sentence in said)


def _capture_notes(capture: Capture, processes: Sequence[Process]) -> Iterator[str]:
    yield from _loss_notes(capture.loss)
    if capture.end is None:
        yield "The recorder has not finished: it died, or it is still recording."
    if not processes:
        yield "The capture holds no process: nothing was recorded."


def _scheduling_notes(capture: Capture, lost: int) -> Iterator[str]:
    options = capture.session.options
    if refused := options.get("sched_refused"):
        yield f"The kernel's scheduling was not recorded: {refused}."
    if lost:
        yield (
            f"{_count(lost, 'record')} of the kernel's scheduling lost for want of buffer space:"
            " what threads did around them is not shown."
        )


def _loss_notes(loss: Loss) -> Iterator[str]:
    if loss.truncated:
        yield "The capture is cut off: what follows its last whole record is missing."
    if loss.bytes_skipped:
        yield f"{_count(loss.bytes_skipped, 'byte')} of the capture could not be read."
    if loss.unknown_frames:
        yield (
            f"{_count(loss.unknown_frames, 'record')} of an unknown type left out"
            " (a newer giltrace wrote the capture)."
        )
    if loss.events_unread:
        yield f"The capture is too large: its last {_count(loss.events_unread, 'event')} left out."


def _gaps(process: Process, *, any_events: bool) -> Iterator[str]:
    if not process.python and not process.pid:
        yield "The record that describes it is missing."
    if not process.gil_enabled:
        yield "This interpreter runs without a GIL: there is nothing to hold or to wait for."
    elif not any_events:
        yield "No GIL event was recorded."
    if process.lost_events:
        yield (
            f"{_count(process.lost_events, 'event')} lost for want of buffer space:"
            " some holds and waits are missing or cut short."
        )
    if not process.ended:
        yield "Its end is not on record: whatever was open is shown up to its last event."


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"
