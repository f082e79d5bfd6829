"""What a live view looks at: a recording of its own, or one that is under way.

Either way the view reads the growing capture file. So it costs the target nothing, and a view that
falls behind, stops or dies loses no event.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from giltrace.errors import GiltraceError
from giltrace.record.policy import Policy
from giltrace.record.running import examine
from giltrace.record.serve import command
from giltrace.record.session import Followed, under_way, without_session
from giltrace.record.settings import Settings

_STOP_S: Final = 30.0
# For the recorder to begin, or to say why not; after that the view can show that it waits.
_START_S: Final = 3.0
_LOOK_S: Final = 0.01


class Log:
    """The file for the output of a target that is started here.

    Attributes:
        path: its name.
        file: its descriptor, until the recorder has it.
    """

    def __init__(self, path: Path | None, *, force: bool) -> None:
        """Open it.

        Args:
            path: its name; None: a new one in the folder for temporary files.
            force: replace it if it exists.

        Raises:
            GiltraceError: it exists, or cannot be written.
        """
        self._temporary = path is None
        try:
            if path is None:
                self.file, name = tempfile.mkstemp(prefix="giltrace-output-", suffix=".log")
                self.path = Path(name)
            else:
                how = os.O_TRUNC if force else os.O_EXCL
                self.file = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o666)
                self.path = path
            # The lock is that of all who inherit this open file: see `in_use`.
            with suppress(OSError):
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileExistsError:
            raise GiltraceError(f"{path} exists", "Name another file: --log FILE") from None
        except OSError as error:
            raise GiltraceError(
                f"cannot write {path or tempfile.gettempdir()}: {error.strerror}",
                "Name another file: --log FILE",
            ) from None

    def in_use(self) -> bool:
        """Whether a process that was given the file has it open, or may have."""
        try:
            with open(self.path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def tidy(self) -> bool:
        """Remove a temporary file if it is empty and not in use; returns whether it was."""
        if not self._temporary or self.in_use():
            return False
        try:
            if self.path.stat().st_size:
                return False
            self.path.unlink()
        except OSError:
            return False
        return True


@dataclass
class Watched:
    """A recording that is being looked at.

    Attributes:
        capture: the file to follow.
        title: what is recorded, for people.
        ours: nobody else reads the file, which goes when we do.
        log: where the target's own output goes; None: where it went before.
        others: process id of the recorder, if it is not our own.
    """

    capture: Path
    title: str
    ours: bool = False
    log: Log | None = None
    others: int = 0
    _recorder: subprocess.Popen[bytes] | None = None
    _words: int = -1  # what our recorder has to say comes here
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @property
    def recorder(self) -> int:
        """Process id of the recorder; 0 if it has ended."""
        return self.others or (self._recorder.pid if self._recorder is not None else 0)

    @property
    def ended(self) -> bool:
        """Whether the recorder has ended."""
        if self._recorder is None:
            return not os.path.exists(f"/proc/{self.others}")
        return self._recorder.poll() is not None

    def leave(self) -> list[str]:
        """Stop our own recording, and let the target go on; gives what there is to say about it.

        A temporary file for its output goes if there is nothing in it, and never will be.
        """
        if self._recorder is None:
            return []
        recorder, self._recorder = self._recorder, None
        assert recorder.stdin is not None
        recorder.stdin.close()
        try:
            recorder.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return ["the recorder has not ended yet; it does when it has left the target"]
        words = [". ".join(filter(None, pair)) for pair in _told(self._words)]
        if self._folder is not None:
            self._folder.cleanup()
        if self.log is not None and self.log.tidy():
            self.log = None
        return words


def join(
    pid: int, settings: Settings, policy: Policy, keep: Path | None, *, force: bool
) -> Watched:
    """Look at a process: through the recording that has it, or by attaching to it.

    Args:
        pid: its process id, or that of its recorder.
        settings: how to record it, if we have to.
        policy: what it is to follow then.
        keep: the capture to write then; None: one that goes when the view does.
        force: replace that if it exists.

    Raises:
        GiltraceError: it cannot be looked at.
    """
    for one in under_way():
        if pid == one.recorder or pid in one.processes:
            if policy.name != "cpython":
                raise GiltraceError(
                    f"process {pid} is being recorded already, under a policy of that recording",
                    "Leave out --policy and --priority, or stop that recording first.",
                )
            return follow(one)
    process = examine(pid)
    title = f"process {pid}: {' '.join(process.argv)}"
    return _start(title, settings, policy, keep, force=force, pid=pid)


def follow(recording: Followed) -> Watched:
    """Look at a recording that is under way."""
    title = f"{recording.capture} (recorder {recording.recorder})"
    return Watched(recording.capture, title, others=recording.recorder)


def start(
    target: tuple[str, ...],
    settings: Settings,
    policy: Policy,
    keep: Path | None,
    output: Path | None,
    *,
    force: bool,
) -> Watched:
    """Start a program and look at it.

    Args:
        target: what to start.
        settings: how to record it.
        policy: what it is to follow.
        keep: the capture to write; None: one that goes when the view does.
        output: where its output and errors go; None: to a new file.
        force: replace these files if they exist.

    Raises:
        GiltraceError: it cannot be started, or files cannot be written.
    """
    return _start(
        " ".join(target),
        settings,
        policy,
        keep,
        force=force,
        target=target,
        log=Log(output, force=force),
    )


def _start(
    title: str,
    settings: Settings,
    policy: Policy,
    keep: Path | None,
    *,
    force: bool,
    pid: int = 0,
    target: tuple[str, ...] = (),
    log: Log | None = None,
) -> Watched:
    folder = None if keep else tempfile.TemporaryDirectory(prefix="giltrace-live-")
    capture = keep or Path(folder.name if folder else "", "live.giltrace")
    output = log.file if log is not None else subprocess.DEVNULL
    words, told = os.pipe()
    try:
        recorder = subprocess.Popen(
            command(capture, settings, policy, told, force=force, pid=pid, target=target),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=without_session(os.environ),
            pass_fds=[told],
            start_new_session=True,  # keys are for the view
        )
    finally:
        os.close(told)
        if log is not None:
            os.close(log.file)
    watched = Watched(capture, title, keep is None, log, 0, recorder, words, folder)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and recorder.poll() is None:
        if capture.exists() and capture.stat().st_size:
            break
        time.sleep(_LOOK_S)
    if recorder.poll():
        message, hint = next(iter(_told(os.dup(words))), ("the recorder did not start", ""))
        watched.leave()
        raise GiltraceError(message, hint)
    return watched


def _told(words: int) -> list[tuple[str, str]]:
    """What a recorder that has ended has said."""
    with open(words, encoding="utf-8") as lines:
        return [(message, hint) for message, hint in map(json.loads, lines)]
