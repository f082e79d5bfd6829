"""Signals that reach the recorder: meant for the target, or for the recorder itself."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping

# asm-generic/siginfo.h: sent by the kernel, as Ctrl-C on a terminal is. The target is in the
# same foreground process group and has had that one already.
_SI_KERNEL = 0x80

_FOR_THE_TARGET = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
_STOPPING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_WAKING = _FOR_THE_TARGET | {signal.SIGCHLD}


@contextlib.contextmanager
def held_back() -> Iterator[set[int]]:
    """Block what `pass_on` takes; gives the mask as it was, for the target."""
    # Ignored (as some parents leave it), it would reap the target behind our back.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
    try:
        yield {int(number) for number in mask}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def pass_on(pid: int, timeout_s: float, own: Mapping[int, Callable[[], None]]) -> None:
    """Wait for a signal or ``timeout_s``; hand what came to process ``pid``, our child.

    What is one of our ``own`` is acted upon instead.
    """
    info = signal.sigtimedwait(_WAKING, timeout_s)
    while info is not None:
        if info.si_signo in own:
            own[info.si_signo]()
        elif info.si_signo in _FOR_THE_TARGET and info.si_code != _SI_KERNEL:
            # Not reaped yet, so the id is still the child's.
            os.kill(pid, info.si_signo)
        info = signal.sigtimedwait(_WAKING, 0)


class Interrupted:
    """Whether somebody has asked the recorder to stop: Ctrl-C, or a polite kill."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Whether that has happened."""
        return self.wait(0)

    def wait(self, timeout_s: float) -> bool:
        """Wait for it, at most so long; returns whether it has happened."""
        info = None if self._asked else signal.sigtimedwait(_FOR_THE_TARGET, timeout_s)
        while info is not None:
            self._asked = self._asked or info.si_signo in _STOPPING
            info = signal.sigtimedwait(_FOR_THE_TARGET, 0)
        return self._asked


@contextlib.contextmanager
def interruptible() -> Iterator[set[int]]:
    """Hold back the signals that end a program, for `Interrupted`; gives the mask as it was.

    Also those that nobody has a reason to send: a target whose recorder they had ended would keep
    the hooks.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_TARGET)
    try:
        yield {int(number) for number in mask}
    finally:
        while signal.sigtimedwait(_FOR_THE_TARGET, 0) is not None:
            pass  # asked once more while it was about to end
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
