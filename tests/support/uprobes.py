"""Kernel uprobes on ``take_gil`` and ``drop_gil``: an independent witness for the tap.

Needs root, a mounted tracefs, and an interpreter whose image still has its symbols.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

TRACEFS = Path("/sys/kernel/tracing")


class Hit(NamedTuple):
    """A probe fired."""

    tid: int
    ts_ns: int
    kind: str  # "acquire", "release", or "away" when the kernel takes the CPU from the thread


def missing() -> str:
    """Why uprobes cannot be used here; empty if they can."""
    if not os.access(TRACEFS / "uprobe_events", os.W_OK):
        return "no tracefs with uprobes that we may write"
    if not {"take_gil", "drop_gil"} <= symbols().keys():
        return "this interpreter's image has no symbols for take_gil and drop_gil"
    return ""


def image() -> Path:
    """The file of the interpreter's code: libpython or the executable."""
    library = (
        sysconfig.get_config_var("INSTSONAME")
        if sysconfig.get_config_var("Py_ENABLE_SHARED")
        else None
    )
    if library:
        return Path(sysconfig.get_config_var("LIBDIR"), library).resolve()
    return Path("/proc/self/exe").resolve()


def symbols() -> dict[str, int]:
    """File offsets of the GIL functions' local symbols, from `nm`."""
    try:
        listing = subprocess.run(["nm", str(image())], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return {}
    found = re.findall(r"^([0-9a-f]+) t (take_gil|drop_gil)$", listing.stdout, re.MULTILINE)
    return {name: _file_offset(int(address, 16)) for address, name in found}


def _file_offset(address: int) -> int:
    """Where in the file the code at ``address`` lies, by the ELF program headers."""
    data = image().read_bytes()[:4096]
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, _, offset, vaddr, _, _, memsz = struct.unpack_from("<IIQQQQQ", data, start + i * size)
        if kind == 1 and vaddr <= address < vaddr + memsz:
            return int(address - vaddr + offset)
    raise ValueError(f"no segment holds {address:#x}")


@contextmanager
def probing(pid: int) -> Iterator[Path]:
    """Probe process ``pid`` and the threads it starts; gives the tracing instance's folder."""
    group = f"giltrace{os.getpid()}"
    instance = TRACEFS / "instances" / group
    at = symbols()
    instance.mkdir()
    try:
        _define(f"r:{group}/acquire {image()}:{at['take_gil']:#x}")
        _define(f"p:{group}/release {image()}:{at['drop_gil']:#x}")
        (instance / "buffer_size_kb").write_text("16384")
        (instance / "trace_clock").write_text("mono")
        (instance / "options" / "event-fork").write_text("1")
        (instance / "set_event_pid").write_text(str(pid))
        (instance / "events" / "sched" / "sched_switch" / "enable").write_text("1")
        (instance / "events" / group / "enable").write_text("1")
        yield instance
    finally:
        (instance / "events" / "enable").write_text("0")
        instance.rmdir()
        for line in (TRACEFS / "uprobe_events").read_text().splitlines():
            if line[2:].startswith(f"{group}/"):
                _define("-:" + line[2:].split()[0])


def _define(line: str) -> None:
    fd = os.open(TRACEFS / "uprobe_events", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


_LINE = re.compile(
    r"-(\d+)\s+\[\d+\].*?(\d+)\.(\d{6}): (acquire|release|sched_switch): (?:.*prev_pid=(\d+))?"
)


def hits(instance: Path) -> list[Hit]:
    """Everything that fired so far, oldest first."""
    found = []
    for line in (instance / "trace").read_text().splitlines():
        if match := _LINE.search(line):
            tid, seconds, micros, kind, away = match.groups()
            ts_ns = int(seconds) * 10**9 + int(micros) * 1000
            found.append(Hit(int(away or tid), ts_ns, "away" if away else kind))
    return sorted(found, key=lambda hit: hit.ts_ns)


def overruns(instance: Path) -> int:
    """Hits that the kernel dropped."""
    total = 0
    for stats in (instance / "per_cpu").glob("cpu*/stats"):
        total += int(re.search(r"^overrun: (\d+)", stats.read_text(), re.MULTILINE)[1])  # type: ignore[index]
    return total
