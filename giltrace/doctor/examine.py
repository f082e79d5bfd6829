"""The lists of checks."""

from __future__ import annotations

from pathlib import Path

from giltrace.doctor import packages, system, tap
from giltrace.doctor.check import Check, Status


def examine_machine() -> list[Check]:
    """Check this interpreter and this machine; takes well under a second."""
    return [
        tap.interpreter(),
        tap.tap(),
        system.shared_memory(),
        system.clock(),
        packages.process_samples(),
        packages.perfetto_export(),
        packages.perfetto_ui(),
        packages.browser(),
        packages.terminal_ui(),
        packages.zeromq(),
        system.attaching(),
        system.ptrace_scope(),
        system.scheduling(),
        system.uprobes(),
    ]


def examine_capture(path: Path) -> list[Check]:
    """Read the capture ``path`` and check that it is whole and obeys the laws of the GIL.

    Raises:
        CaptureError: it is no capture that this giltrace can read.
        OSError: it cannot be opened.
    """
    from giltrace.model import load
    from giltrace.model.invariants import check

    trace = load(path)
    checks = [
        Check("capture", Status.OK, f"{len(trace.holds):,} holds, {len(trace.waits):,} waits"),
        Check("lost events", Status.OK, "none")
        if trace.lost_events == 0
        else Check(
            "lost events",
            Status.NOTE,
            f"{trace.lost_events:,} events found no room while recording",
            "record with larger buffers, or record less",
        ),
    ]
    checks += [Check("reader", Status.NOTE, note) for note in trace.notes]
    broken = check(trace)
    checks += [Check("invariant", Status.MISSING, sentence) for sentence in broken]
    if not broken:
        checks.append(
            Check("invariants", Status.OK, "one holder per GIL at a time, held time within wall")
        )
    return checks
