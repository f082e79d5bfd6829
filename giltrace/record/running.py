"""A process that runs already: whether it can be attached to, and what there is to know first.

Everything here looks from the outside and changes nothing.
"""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from giltrace.errors import GiltraceError
from giltrace.record import symbols
from giltrace.record.settings import recorder_of
from giltrace.record.target import label_of

# In the order of `giltrace._core.inject`.
FUNCTIONS: Final = (
    "mmap",
    "mprotect",
    "munmap",
    "pthread_create",
    "pthread_detach",
    "Py_IsInitialized",
    "Py_AddPendingCall",
    "PyGILState_Ensure",
    "PyGILState_Release",
    "PyRun_SimpleString",
)
_OLDEST: Final = (3, 11)
_ARENA: Final = re.compile(
    r"^(?P<session>/.*/giltrace-\d+(-attach)?/[^/]+)/[^/]+\.arena( \(deleted\))?$"
)


@dataclass(frozen=True)
class Running:
    """A CPython that can be attached to.

    Attributes:
        pid: its process id.
        uid, gid: who it belongs to.
        argv: its command line.
        executable: of its interpreter, or of the program that one is embedded in.
        version: of its Python: (3, 11, 7).
        functions: addresses of `FUNCTIONS` in it.
    """

    pid: int
    uid: int
    gid: int
    argv: tuple[str, ...]
    executable: str
    version: tuple[int, int, int]
    functions: tuple[int, ...]

    @property
    def python(self) -> str:
        """Its version as one writes it: ``3.11``."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def label(self) -> str:
        """A short name for it, safe in a file name."""
        return label_of(self.argv)


def examine(pid: int, *, recorded: bool = False) -> Running:
    """Look at a process; one that is being recorded will do only if that is said.

    Raises:
        GiltraceError: it cannot be attached to, and why.
    """
    status = _status(pid)
    _check_state(pid, status)
    _check_rights(pid, status)
    try:
        executable = os.readlink(f"/proc/{pid}/exe")
        if not recorded:
            _check_recorded(pid)
        found = {
            name: at
            for image in symbols.images(pid, (*FUNCTIONS, symbols.VERSION))
            for name, at in image.symbols.items()
        }
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = tuple(os.fsdecode(word) for word in file.read().split(b"\0")[:-1])
    except FileNotFoundError:
        raise gone(pid) if not _exists(pid) else _not_python(pid) from None
    except OSError as error:
        raise not_allowed(pid, error) from None
    version = _version(pid, executable, found)
    missing = [name for name in FUNCTIONS if name not in found]
    if missing:
        raise GiltraceError(
            f"process {pid} has no {missing[0]}: it does not use glibc, or was not built as usual",
            "giltrace needs a CPython that is linked dynamically to glibc.",
        )
    uid, gid = (int(status[key].split()[1]) for key in ("Uid", "Gid"))
    functions = tuple(found[name][0] for name in FUNCTIONS)
    return Running(pid, uid, gid, argv, executable, version, functions)


def not_allowed(pid: int, error: OSError) -> GiltraceError:
    """The kernel refuses to let us look into a process, or to stop it."""
    scope = _read(Path("/proc/sys/kernel/yama/ptrace_scope"))
    if scope == "3":
        hint = "kernel.yama.ptrace_scope is 3: nobody can attach until the next boot."
    elif os.geteuid() != 0 and scope in ("1", "2"):
        hint = (
            f"kernel.yama.ptrace_scope is {scope}: run it with sudo, or allow it: "
            "sudo sysctl kernel.yama.ptrace_scope=0"
        )
    elif os.geteuid() != 0:
        hint = "Run it with sudo; in a container, it must have CAP_SYS_PTRACE."
    else:
        hint = (
            "In a container, start it with --cap-add=SYS_PTRACE; the process may also have "
            "forbidden it (prctl), or be traced by another program."
        )
    return GiltraceError(f"process {pid} may not be attached to: {error.strerror}", hint)


def _status(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as lines:
            return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    except (FileNotFoundError, ProcessLookupError):
        raise gone(pid) from None
    except OSError as error:
        raise not_allowed(pid, error) from None


def gone(pid: int) -> GiltraceError:
    """A process that is not there, or not any more."""
    return GiltraceError(f"there is no process {pid}", "It may have ended; see: ps -ef")


def _not_python(pid: int) -> GiltraceError:
    return GiltraceError(
        f"process {pid} is not a Python, or one that is linked statically",
        "If it started one, name that process; see: ps -ef --forest",
    )


def _check_state(pid: int, status: dict[str, str]) -> None:
    if pid == os.getpid():
        raise GiltraceError("giltrace cannot attach to itself", "Use giltrace.Recorder in Python.")
    if int(status["Tgid"]) != pid:
        raise GiltraceError(f"{pid} is a thread of process {status['Tgid']}", "Name the process.")
    state = status["State"][:1]
    if state in "ZX":
        raise GiltraceError(f"process {pid} has ended", "Its parent has not yet taken note.")
    if int(status["TracerPid"]):
        raise GiltraceError(
            f"process {pid} is being debugged by process {status['TracerPid']}",
            "A process can have one debugger at a time.",
        )
    if state in "Tt":
        raise GiltraceError(f"process {pid} is stopped", f"Let it go on first: kill -CONT {pid}")


def _check_rights(pid: int, status: dict[str, str]) -> None:
    uid = int(status["Uid"].split()[1])
    if os.geteuid() not in (0, uid):
        raise GiltraceError(
            f"process {pid} belongs to another user ({_user(uid)})",
            f"Run giltrace as that user, or with sudo: sudo giltrace attach {pid}",
        )
    for kind in ("mnt", "pid"):
        try:
            theirs, ours = (os.readlink(f"/proc/{who}/ns/{kind}") for who in (pid, "self"))
        except FileNotFoundError:
            raise gone(pid) from None
        except OSError as error:
            raise not_allowed(pid, error) from None
        if theirs != ours:
            raise GiltraceError(
                f"process {pid} runs in another container",
                "Install giltrace in that container and run it there.",
            )


def _check_recorded(pid: int) -> None:
    for line in symbols.mappings(pid):
        match = _ARENA.match(line.path)
        if match is None:
            continue
        recorder = recorder_of(Path(match["session"]))
        if recorder and _exists(recorder):
            raise GiltraceError(
                f"process {pid} is being recorded already, by process {recorder}",
                "Stop that recording first.",
            )


def _version(
    pid: int, executable: str, found: dict[str, tuple[int, bytes]]
) -> tuple[int, int, int]:
    if symbols.VERSION not in found:
        if "PyRun_SimpleString" in found:
            raise GiltraceError(
                f"process {pid} runs a Python before 3.11 ({executable})",
                "It can be recorded from its start, by inference: giltrace record --help",
            )
        if "pypy" in os.path.basename(executable):
            raise GiltraceError(
                f"process {pid} runs PyPy, which cannot be attached to",
                "Record it from its start: --backend portable",
            )
        raise _not_python(pid)
    value = int.from_bytes(found[symbols.VERSION][1][:4], "little")
    version = value >> 24, value >> 16 & 0xFF, value >> 8 & 0xFF
    if version[:2] < _OLDEST:
        raise GiltraceError(f"process {pid} runs a Python before 3.11 ({executable})")
    return version


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _exists(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
