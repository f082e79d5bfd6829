"""`Recorder`: record the process that one is in, for notebooks and tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from giltrace.errors import GiltraceError
from giltrace.record.output import CaptureFile
from giltrace.record.session import Session, without_session
from giltrace.record.settings import CALLS, Calls, Settings

_STOP_S = 60.0
_NO_INFERENCE = (
    "Inferring hand-offs instead needs each thread's profile function from its start, which only "
    "giltrace record --backend portable can have. Why there is no tap: giltrace doctor"
)


class Recorder:
    """Records this process while its ``with`` block runs.

    As everywhere, the process only writes into shared memory; a recorder process of its own
    makes the file. Processes forked inside the block are recorded, too.

    Example:
        >>> with giltrace.Recorder("out.giltrace"):
        ...     work()
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        *,
        force: bool = False,
        stacks: int = 1,
        calls: Calls = "io",
        least_span_ns: int = 100_000,
        children: bool = True,
    ) -> None:
        """Prepare a recording.

        Args:
            output: the capture file to write.
            force: replace an existing one.
            stacks: Python frames to record at each release, 1 to 64.
            calls: "io" names the C calls in which threads let the GIL go, "all" records function
                calls as well, "off" neither.
            least_span_ns: the shortest function call that ``calls="all"`` records.
            children: record processes that are forked inside the block, too.

        Raises:
            ValueError: ``calls`` is none of these.
        """
        if calls not in CALLS:
            raise ValueError(f"calls must be one of {', '.join(CALLS)}, not {calls!r}")
        self.output = Path(output)
        self._force = force
        self._settings = Settings(
            stacks=stacks, calls=calls, least_span_ns=least_span_ns, children=children
        )
        self._session: Session | None = None
        self._collector: subprocess.Popen[str] | None = None
        self._leave: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Start recording.

        Raises:
            GiltraceError: the GIL cannot be tapped here, this process is being recorded already,
                or the output cannot be written.
        """
        from giltrace import _core
        from giltrace.runtime import bootstrap

        if _core.state()["recording"]:
            raise _already()
        with CaptureFile(self.output, force=self._force) as file:
            file.discard()  # only to find out, in this process, whether it can be written
        self._session = Session(self._settings)
        try:
            self._collector = _start_collector(self._session.path, self.output)
            self._settings.write(self._session.path, recorder=self._collector.pid)
            # The module as it is now: a program may import everything anew before stop().
            self._leave = bootstrap.leave
            if not bootstrap.join(str(self._session.path)):
                raise _already()  # by a thread that was faster
        except BaseException as error:
            self._abandon()
            if isinstance(error, _core.TapError):
                raise GiltraceError(str(error), _NO_INFERENCE) from None
            raise

    def stop(self) -> None:
        """Stop recording and wait until the capture is whole. A no-op if nothing records.

        Raises:
            GiltraceError: the capture could not be written to its end.
        """
        session, collector = self._session, self._collector
        self._session = self._collector = None
        if session is None or collector is None:
            return
        self._leave()
        try:
            _, words = collector.communicate(timeout=_STOP_S)
        finally:
            session.close()
        if collector.returncode:
            raise GiltraceError(words.strip() or "the recorder process ended early")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _abandon(self) -> None:
        if self._collector is not None:
            self._collector.kill()
            self._collector.communicate()
            self.output.unlink(missing_ok=True)
        if self._session is not None:
            self._session.close()
        self._session = self._collector = None


def _already() -> GiltraceError:
    return GiltraceError(
        "this process is being recorded already", "Stop the other recording first."
    )


def _start_collector(session: Path, output: Path) -> subprocess.Popen[str]:
    """Start the recorder process; returns once it has the output open.

    It ends when its standard input does: when `Recorder.stop` closes it, or this process dies.
    """
    collector = subprocess.Popen(
        [sys.executable, "-m", "giltrace.record.collect", str(session), str(output)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=without_session(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # a Ctrl-C is for the program, not for its recorder
    )
    assert collector.stdout is not None
    if collector.stdout.readline() != "ready\n":
        _, words = collector.communicate()
        raise GiltraceError(words.strip() or "the recorder process did not start")
    return collector
