"""A session: the private folder where a recorder and the processes it records meet.

It lies in shared memory where there is some, belongs to one user (mode 0700), and holds the
processes' arenas, the options they read when they join, and a file for each one that could not.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from giltrace.errors import GiltraceError
from giltrace.record import guarded
from giltrace.record.settings import OPTIONS, Settings, recorder_of

ENVIRONMENT = "GILTRACE_SESSION"
_CAPTURE = "capture"
_POLICY = "policy"
_BOOT = Path(__file__).parent.parent / "runtime" / "boot"


@dataclass(frozen=True)
class Refusal:
    """A Python that could not join: its process id, executable, and the reason."""

    pid: int
    executable: str
    reason: str

    @property
    def not_installed(self) -> bool:
        """Whether that Python has no giltrace."""
        return self.reason.startswith("missing:")


class Session:
    """The folder of one recording; a context manager that removes it in the end.

    Attributes:
        path: the folder.
    """

    def __init__(
        self, settings: Settings, *, recorder: int = 0, owner: tuple[int, int] | None = None
    ) -> None:
        """Create the folder.

        Args:
            settings: what joining processes are asked for.
            recorder: process id of the recorder; processes join only while it lives. 0: this one.
            owner: user and group id of the processes that join, if root records another's.

        Raises:
            GiltraceError: no private folder can be made.
        """
        others = owner is not None and owner[0] != os.geteuid()
        root = _root(for_others=others)
        _sweep(root)
        self.path = root / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._known: set[str] = set()
        try:
            self.path.mkdir(mode=0o700)
            settings.write(self.path, recorder=recorder or os.getpid())
            if others and owner is not None:
                os.chown(self.path / OPTIONS, *owner)
                os.chown(self.path, *owner)
        except OSError as error:
            self.close()
            raise _no_room(root, error) from None

    @classmethod
    def at(cls, path: Path) -> Session:
        """An existing session, whose folder someone else removes."""
        session = cls.__new__(cls)
        session.path, session._known = path, set()  # noqa: SLF001
        return session

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` with what makes every Python started in it join this session."""
        return with_boot(base) | {ENVIRONMENT: str(self.path)}

    def arenas(self) -> list[Path]:
        """Arenas that have appeared since the last call."""
        return sorted(self._news(".arena"), key=lambda path: guarded.number(path.name, 1))

    def refusals(self) -> list[Refusal]:
        """Refusals that have appeared since the last call."""
        found = []
        for path in self._news(".refused"):
            try:
                text = guarded.read_text(path)
                path.unlink()
            except OSError:
                continue  # not what a process that could not join has left
            executable, _, reason = text.partition("\n")
            found.append(Refusal(guarded.number(path.name, 0), executable, reason))
        return found

    def wishes(self) -> Iterator[Path]:
        """Wishes that have appeared since the last call."""
        return self._news(".wish")

    def announce(self, capture: Path) -> None:
        """Say where the capture is, for those who want to follow it."""
        self.put(_CAPTURE, f"{capture.absolute()}\n")

    def ask_policy(self, text: str) -> None:
        """What the processes that join are to follow: see `giltrace.runtime.options.policy`.

        Raises:
            GiltraceError: it cannot be written.
        """
        try:
            self.put(_POLICY, text)
        except OSError as error:
            raise _no_room(self.path, error) from None

    def put(self, name: str, text: str) -> Path:
        """Write a new file for the processes of this session, which own the folder.

        Raises:
            OSError: it cannot be written.
        """
        path = self.path / name
        owner = self.path.stat()
        # Never through a link, nor into a file, that someone else has put there.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            if owner.st_uid != os.geteuid():
                os.fchown(fd, owner.st_uid, owner.st_gid)
            file.write(text)
        return path

    def keep(self, name: str, text: str) -> Path:
        """Write a file, or write it anew, that stays when the session goes.

        Args:
            name: begins with a process id and a dash; it goes when that process has ended.
            text: what is in it.

        Raises:
            OSError: it cannot be written.
        """
        # From here on it is in a folder of our own.
        return self.put(f"{name}.new", text).rename(self.path.parent / name)

    def withdraw(self) -> None:
        """Let no further process join."""
        (self.path / OPTIONS).unlink(missing_ok=True)

    def forget(self, path: Path) -> None:
        """Report an arena again at the next call: it was not ready yet."""
        self._known.discard(path.name)

    def close(self) -> None:
        """Remove the folder. Processes that are still mapped to an arena keep their memory."""
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _news(self, suffix: str) -> Iterator[Path]:
        with os.scandir(self.path) as entries:
            names = {entry.name for entry in entries if entry.name.endswith(suffix)}
        gone = {name for name in self._known if name.endswith(suffix)} - names
        self._known -= gone
        for name in names - self._known:
            self._known.add(name)
            yield self.path / name


def with_boot(base: Mapping[str, str]) -> dict[str, str]:
    """``base`` with what makes every Python started in it run our ``sitecustomize`` first."""
    entries = base.get("PYTHONPATH", "").split(os.pathsep)
    others = [entry for entry in entries if entry and entry != str(_BOOT)]
    return {**base, "PYTHONPATH": os.pathsep.join([str(_BOOT), *others])}


@dataclass(frozen=True)
class Followed:
    """A recording that is under way, whose capture can be followed.

    Attributes:
        recorder: process id of the recorder.
        capture: the file that it writes.
        processes: ids of the processes that it records.
    """

    recorder: int
    capture: Path
    processes: tuple[int, ...]


def session_of(recorder: int) -> Session:
    """The session in which a recorder of this user's reads.

    Raises:
        GiltraceError: there is none.
    """
    for folder in _folders():
        if recorder_of(folder) == recorder:
            return Session.at(folder)
    raise GiltraceError("the recording is over")


def _folders() -> Iterator[Path]:
    roots = [_root()] if os.geteuid() else [_root(), _root(for_others=True)]
    return (folder for root in roots for folder in root.iterdir())


def under_way() -> list[Followed]:
    """This user's recordings that are under way, the latest first.

    Raises:
        GiltraceError: the folder they would be in is not this user's alone.
    """
    found = []
    for folder in sorted(_folders(), key=lambda path: -_age(path)):
        recorder = recorder_of(folder)
        try:
            capture = Path(guarded.read_text(folder / _CAPTURE).rstrip("\n"))
        except (OSError, ValueError):
            continue
        if recorder and os.path.exists(f"/proc/{recorder}") and capture.is_file():
            found.append(Followed(recorder, capture, _recorded_by(recorder, folder)))
    return found


def _age(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _recorded_by(recorder: int, folder: Path) -> tuple[int, ...]:
    """The processes whose arenas a recorder has mapped: their files are named by them."""
    prefix = f"{folder}/"
    try:
        with open(f"/proc/{recorder}/maps", encoding="utf-8", errors="replace") as lines:
            paths = [line.split(maxsplit=5)[-1] for line in lines if prefix in line]
    except OSError:
        return ()
    names = {path[len(prefix) :].split(".")[0] for path in paths if path.startswith(prefix)}
    return tuple(sorted(int(name) for name in names if name.isdigit()))


def without_session(env: Mapping[str, str]) -> dict[str, str]:
    """``env`` with nothing of a recording or a policy in it, for processes that must stay out."""
    ours = (ENVIRONMENT, "GILTRACE_POLICY", "GILTRACE_PRIORITIES")
    clean = {key: value for key, value in env.items() if key not in ours}
    entries = clean.pop("PYTHONPATH", "").split(os.pathsep)
    others = [entry for entry in entries if entry and entry != str(_BOOT)]
    if others:
        clean["PYTHONPATH"] = os.pathsep.join(others)
    return clean


def _root(*, for_others: bool = False) -> Path:
    """This user's folder for sessions; root has a second one, for other users' processes.

    Those can pass through it, each to a session of its own, and can change nothing in it.

    Raises:
        GiltraceError: it cannot be made, or is not this user's alone.
    """
    base = Path("/dev/shm")
    if not os.access(base, os.W_OK | os.X_OK):
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    root = base / f"giltrace-{os.getuid()}{'-attach' if for_others else ''}"
    mode = 0o711 if for_others else 0o700
    try:
        root.mkdir(mode=mode, exist_ok=True)
        status = root.lstat()
    except OSError as error:
        raise _no_room(base, error) from None
    # In a folder that everyone can write to, someone else may have been there first.
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.getuid()
        or status.st_mode & 0o077 & ~mode
    ):
        raise GiltraceError(
            f"{root} is not a folder that only you can read and write",
            f"Remove it, or find out who made it: ls -ld {root}",
        )
    return root


def _sweep(root: Path) -> None:
    """Remove what recorders that were killed have left, once nobody writes there any more."""
    for folder in root.iterdir():
        owner = folder.name.split("-")[0]
        pids = [owner, *(name.split(".")[0] for name in _names(folder) if name.endswith(".arena"))]
        pids.append(str(recorder_of(folder) or owner))
        if not any(Path("/proc", pid).exists() for pid in pids):
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
            else:
                folder.unlink(missing_ok=True)


def _names(folder: Path) -> list[str]:
    """What is in a folder; nothing if it is none, or is gone, as sessions that end are."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _no_room(where: Path, error: OSError) -> GiltraceError:
    return GiltraceError(
        f"cannot make a folder for the recording in {where}: {error.strerror}",
        "Free some space there, or set XDG_RUNTIME_DIR to a folder of your own.",
    )
