"""What the kernel and its settings allow."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from giltrace.doctor.check import Check, Status

# The time of these is read without entering the kernel (vDSO).
_FAST_CLOCKS: Final = frozenset(
    {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "timebase"}
)
_CLOCK_FILE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_PTRACE_FILE: Final = Path("/proc/sys/kernel/yama/ptrace_scope")
_TRACEFS: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_SHARED_MEMORY: Final = Path("/dev/shm")
_ROOMY_BYTES: Final = 256 << 20
_SLOW_CLOCK_NS: Final = 200


def shared_memory(directory: Path = _SHARED_MEMORY) -> Check:
    """Events travel through files in ``/dev/shm``: they must fit."""
    name = "shared memory"
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            os.posix_fallocate(file.fileno(), 0, 1 << 20)
        free = shutil.disk_usage(directory).free
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        remedy = f"mount it: mount -t tmpfs tmpfs {directory} (in a container: --shm-size=1g)"
        detail = f"cannot write to {directory}: {reason}"
        return Check(name, Status.MISSING, detail, remedy, required=True)
    detail = f"{free >> 20:,} MiB free in {directory}"
    if free < _ROOMY_BYTES:
        remedy = f"enlarge it (in a container: --shm-size=1g), at least {_ROOMY_BYTES >> 20} MiB"
        return Check(name, Status.NOTE, detail, remedy, required=True)
    return Check(name, Status.OK, detail, required=True)


def clock(source_file: Path = _CLOCK_FILE) -> Check:
    """Every event reads the clock twice; a clock that enters the kernel makes the tap slow."""
    source = _read(source_file)
    cost_ns = _clock_cost_ns()
    detail = f"{source or 'unknown source'}, {cost_ns} ns a reading (from Python)"
    slow = cost_ns > _SLOW_CLOCK_NS if source is None else source not in _FAST_CLOCKS
    if not slow:
        return Check("clock", Status.OK, detail)
    return Check(
        "clock",
        Status.NOTE,
        f"{detail}: each reading is a system call, so recording costs several times more",
        f"if the hardware has it: echo tsc > {source_file}",
    )


def attaching() -> Check:
    """Before Python 3.14 it takes a thread's registers, which are those of one machine."""
    if platform.machine() == "x86_64":
        return Check("attach", Status.OK, "to any CPython from 3.11 on, without gdb")
    return Check(
        "attach",
        Status.NOTE,
        f"{platform.machine()}: only to CPython 3.14 and later",
        "record from the start",
    )


def ptrace_scope(file: Path = _PTRACE_FILE) -> Check:
    """Attaching needs ptrace, which Yama may restrict."""
    scope = _read(file)
    if os.geteuid() == 0 and scope != "3":
        return Check("ptrace scope", Status.OK, f"{scope or 'unrestricted'}, and this is root")
    if scope in (None, "0"):
        return Check("ptrace scope", Status.OK, "any process of yours can be attached to")
    if scope == "3":
        detail, remedy = "3: nobody can attach to a running process", "3 lasts until the next boot"
    else:
        detail = f"{scope}: only root can attach to a process that is not a child"
        remedy = "sudo sysctl kernel.yama.ptrace_scope=0 (recording from the start works anyway)"
    return Check("ptrace scope", Status.NOTE, detail, remedy)


def scheduling() -> Check:
    """What ``record --sched`` needs."""
    name = "scheduling"
    try:
        from giltrace.record.scheduling import Scheduling
    except ImportError:
        return Check(name, Status.NOTE, "only on Linux, and with the tap")
    with Scheduling(asked=True) as tried:
        if tried.refused:
            return Check(name, Status.NOTE, f"record --sched is not possible: {tried.refused}")
        woken = "with" if tried.recorded == "wakeups" else "without"
    return Check(name, Status.OK, f"record --sched is possible, {woken} wake-ups")


def uprobes(directories: tuple[Path, ...] = _TRACEFS) -> Check:
    """Kernel uprobes are the independent witness of giltrace's own tests, and only that."""
    for directory in directories:
        if os.access(directory / "uprobe_events", os.W_OK):
            return Check("uprobes", Status.OK, f"{directory}, for cross-checks of the tap")
    return Check(
        "uprobes",
        Status.NOTE,
        "not available here; only giltrace's own cross-checks use them",
        "as root: mount -t tracefs tracefs /sys/kernel/tracing",
    )


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _clock_cost_ns(readings: int = 1000) -> int:
    """The cost of a reading in the best of some batches, so that other load does not count."""
    best: int | None = None
    for _batch in range(5):
        start = time.monotonic_ns()
        for _reading in range(readings):
            time.monotonic_ns()
        spent = time.monotonic_ns() - start
        best = spent if best is None else min(best, spent)
    return (best or 0) // readings
