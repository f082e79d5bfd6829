"""Writing a capture that is in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from giltrace.capture.cut import runs_of
from giltrace.capture.reader import Capture
from giltrace.capture.records import Record, SourceText
from giltrace.capture.writer import CaptureWriter


def rewrite(file: BinaryIO, capture: Capture, sources: Iterable[SourceText] = ()) -> int:
    """Write a capture that is in memory to a file; returns its size.

    Args:
        file: open for binary writing, at its start.
        capture: what to write.
        sources: more source text.

    Raises:
        OSError: it cannot be written.
    """
    writer = CaptureWriter(file, capture.session)
    records: list[Record] = [
        *capture.processes,
        *capture.gils,
        *capture.threads,
        *capture.thread_names,
        *capture.codes,
        *capture.calls,
        *capture.switch_intervals,
        *capture.descriptors,
        *capture.samples,
    ]
    for record in records:
        writer.write(record)
    for process, events in capture.events.items():
        words = np.stack((events.ts, events.data), axis=1)
        writer.events(process, runs_of(events.thread).tolist(), words.tobytes())
    writer.scheduling(capture.scheduling.tobytes())
    records = [*capture.process_ends, *capture.sources, *sources]
    for record in records:
        writer.write(record)
    if capture.end is not None:
        writer.write(capture.end)
    writer.flush()
    return writer.bytes_written
