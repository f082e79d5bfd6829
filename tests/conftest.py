"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# The same examples each time, and no limit on how long one may take: the machine may be busy.
settings.register_profile("giltrace", deadline=None, derandomize=True)
settings.load_profile("giltrace")
