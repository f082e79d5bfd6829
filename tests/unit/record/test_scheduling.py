"""Asking the kernel for its scheduling: what may be asked for, and why it may refuse."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from giltrace.record.scheduling import Scheduling, Wakeups, why_refused

FORMAT = """name: sched_wakeup
ID: 318
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;
"""


def refusal(call: str, code: int, paranoid: str = "2", *, tmp_path: Path) -> str:
    """Why a call failed, where the setting has this value."""
    (tmp_path / "paranoid").write_text(paranoid)
    return why_refused(OSError(code, os.strerror(code), call), tmp_path / "paranoid")


def test_each_refusal_says_what_to_do(tmp_path: Path) -> None:
    """A setting, a container, a limit or a kernel: one line names it, and the way out."""
    denied = refusal("perf_event_open", errno.EACCES, "3\n", tmp_path=tmp_path)
    assert denied == "kernel.perf_event_paranoid is 3 (sudo sysctl kernel.perf_event_paranoid=2)"
    contained = refusal("perf_event_open", errno.EPERM, tmp_path=tmp_path)
    assert "--cap-add=PERFMON" in contained
    assert "ulimit -n" in refusal("perf_event_open", errno.EMFILE, tmp_path=tmp_path)
    assert "ulimit -l" in refusal("mmap", errno.EPERM, tmp_path=tmp_path)
    missing = refusal("perf_event_open", errno.ENOSYS, "what?", tmp_path=tmp_path)
    assert missing == "this kernel cannot: perf_event_open: Function not implemented"


def test_nothing_is_asked_for_unless_the_user_does() -> None:
    """Without --sched there is nothing to take, and nothing to say."""
    with Scheduling(asked=False) as scheduling:
        assert scheduling.described() == {"sched": "off"}
        assert scheduling.refused == ""


def test_the_tracepoint_of_wake_ups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known by its files, where these may be read and thread ids are the kernel's own."""
    namespace = "pid:[4026531836]"
    monkeypatch.setattr(os, "readlink", lambda _path: namespace)
    event = tmp_path / "events" / "sched" / "sched_wakeup"
    event.mkdir(parents=True)
    assert Wakeups.find([tmp_path / "none", tmp_path]) is None
    (event / "id").write_text("318\n")
    (event / "format").write_text(FORMAT)
    assert Wakeups.find([tmp_path / "none", tmp_path]) == Wakeups(318, 24)
    (event / "id").write_text("what?\n")
    assert Wakeups.find([tmp_path]) is None
    (event / "id").write_text("318\n")
    namespace = "pid:[4026532000]"
    assert Wakeups.find([tmp_path]) is None
