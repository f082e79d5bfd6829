"""Runs first in every Python that inherits a recording or a policy, then gets out of the way.

``giltrace record`` and ``giltrace run`` put the folder of this file at the front of PYTHONPATH. No
``import giltrace`` at the top: this Python may be one in which giltrace is not installed.
"""

import os
import sys


def _refuse(session, reason):
    """Leave word for the recorder; the target goes on as if nothing had happened."""
    path = os.path.join(session, "%d.refused" % os.getpid())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    text = "%s\n%s" % (sys.executable, reason)
    try:
        fd = os.open(path, flags, 0o600)
        try:
            os.write(fd, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(fd)
    except OSError:
        pass


def _join():
    session = os.environ.get("GILTRACE_SESSION", "")
    if not os.path.isdir(session):
        return  # the recording is over
    asked = _back_end(session)
    if asked > 0 or (asked == 0 and not _may_have_tap()):
        try:
            _portable(session)
        except Exception as error:
            _refuse(session, "%s" % error)
        return
    try:
        # A further interpreter of a process runs this, too; the first one records for all. There
        # the core cannot be imported, so nothing else may be before it: if `threading` was imported
        # by a thread other than the one that ends the interpreter, CPython before 3.13 waits for
        # ever, and without us it might never have been imported.
        from giltrace import _core  # noqa: F401
        from giltrace.runtime import bootstrap
    except ImportError as error:
        if "subinterpreter" not in str(error):
            _refuse(session, "missing: %s" % error)
        return
    try:
        bootstrap.join(session)
    except Exception as error:  # whatever it is, it is not the target's
        if asked == 0 and type(error).__name__ == "TapError":
            try:
                _portable(session, "%s" % error)
                return
            except Exception:
                pass  # for a reason like the tap's, or a worse one
        _refuse(session, "%s" % error)


def _obey():
    """Follow the policy that `giltrace run` or `giltrace record` was given."""
    policy = os.environ.get("GILTRACE_POLICY", "")
    if not policy:
        return
    try:
        if not _may_have_tap():
            raise RuntimeError("it is not CPython 3.11 or later")
        from giltrace import _core  # noqa: F401 - first, as in _join
        from giltrace.runtime import priorities

        priorities.obey(policy, os.environ.get("GILTRACE_PRIORITIES", ""))
    except Exception as error:
        # In a further interpreter of a process, the first one has seen to it.
        if "subinterpreter" not in str(error):
            text = "giltrace: no priorities in process %d, %s: %s\n"
            sys.stderr.write(text % (os.getpid(), sys.executable, error))


def _back_end(session):
    """1: the portable back end is asked for; -1: the tap; 0: whichever works."""
    asked = 0
    try:
        # As bytes: an encoding can be named neither in Python 2 nor left out without a warning.
        with open(os.path.join(session, "options"), "rb") as lines:
            for line in lines:
                key, _, value = line.partition(b" ")
                if key == b"portable":
                    asked = int(value)
    except (OSError, ValueError):
        pass
    return asked


def _may_have_tap():
    return sys.implementation.name == "cpython" and sys.version_info >= (3, 11)


def _portable(session, why=""):
    """Join by the portable back end: of our own giltrace, where this Python has none installed."""
    root = os.path.abspath(__file__)
    for _ in range(4):
        root = os.path.dirname(root)
    # Last, because it may be a folder full of packages for another Python.
    sys.path.append(root)
    try:
        from giltrace.runtime import portable_interpreters

        if not portable_interpreters.is_main():
            return  # for the same reason
        from giltrace.runtime import portable
    finally:
        if sys.path[-1] == root:
            sys.path.pop()
    portable.join(session, why)


def _step_aside():
    """Leave sys.path as it would be without us, and run the sitecustomize we stand before."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    sys.path_importer_cache.pop(here, None)
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        if ours is not None:
            sys.modules["sitecustomize"] = ours


try:
    _obey()
    _join()
finally:
    _step_aside()
