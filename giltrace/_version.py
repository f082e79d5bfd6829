"""The version of giltrace: this line, and no other place."""

from __future__ import annotations

__version__ = "0.1.0"
