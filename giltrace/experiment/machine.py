"""The machine a bench ran on, as far as its figures depend on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Return facts about this machine that JSON can hold; none that tell whose it is."""
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(usable(0)) if usable else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(filter(None, platform.libc_ver())),
        "load_average": _load_average(),
    }


def show(machine: dict[str, Any]) -> str:
    """Return `describe` in some words."""
    usable = machine["usable_cores"]
    processor = machine["processor"] or machine["architecture"]
    return f"{usable} core{'' if usable == 1 else 's'}, {processor}"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return int(describe()["usable_cores"])


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n"):
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    except OSError:
        pass
    return platform.processor()


def _load_average() -> float | None:
    """How busy the machine was in the minute before; figures from a busy one are worth less."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None
