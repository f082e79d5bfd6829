"""What the kernel says about the target, sampled from outside with psutil."""

from __future__ import annotations

import os
import time

import psutil

from giltrace.capture.records import ProcessInfo, Sample, ThreadInfo

# Reading /proc for each thread costs about 20 µs; with more threads than this only the busiest
# question (CPU time, one read for all) is asked.
_MAX_SWITCH_THREADS = 64


def sample(process: psutil.Process, index: int) -> Sample | None:
    """One SAMPLE record, or None if the process has ended or hides from us."""
    try:
        with process.oneshot():
            cpu = process.cpu_times()
            rss = process.memory_info().rss
            switches = process.num_ctx_switches()
            threads = process.threads()
    except psutil.Error:
        return None
    rows = []
    for thread in threads:
        voluntary = involuntary = 0
        if len(threads) <= _MAX_SWITCH_THREADS:
            voluntary, involuntary = _switches(thread.id)
        rows.append(
            [thread.id, _ns(thread.user_time), _ns(thread.system_time), voluntary, involuntary]
        )
    return Sample(
        process=index,
        ts_ns=time.monotonic_ns(),
        rss=rss,
        num_threads=len(threads),
        cpu_user_ns=_ns(cpu.user),
        cpu_system_ns=_ns(cpu.system),
        ctx_voluntary=switches.voluntary,
        ctx_involuntary=switches.involuntary,
        threads=rows,
    )


def is_running(process: ProcessInfo, thread: ThreadInfo) -> bool:
    """Whether a thread has not ended yet."""
    return os.path.exists(f"/proc/{process.pid}/task/{thread.tid}")


def _switches(tid: int) -> tuple[int, int]:
    """Context switches of one thread: /proc/<tid> answers for it as if it were a process."""
    try:
        counts = psutil.Process(tid).num_ctx_switches()
    except psutil.Error:
        return 0, 0
    return counts.voluntary, counts.involuntary


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
