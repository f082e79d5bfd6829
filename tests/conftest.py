"""What all tests share."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell without job control starts what it puts in the background with Ctrl-C ignored, and every
# program started by a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, and no limit on how long one may take: the machine may be busy.
settings.register_profile("giltrace", deadline=None, derandomize=True)
settings.load_profile("giltrace")
