"""Free-threaded interpreters: without a GIL, with one, and when it comes in the middle."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from giltrace.model import load
from giltrace.model.invariants import check
from tests.support.attached import UNTOUCHED, attach, running
from tests.support.life import both, said, whole
from tests.support.python import environment, run_python
from tests.support.recorder import record, script

pytestmark = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter always has a GIL"
)

REASON = "this interpreter runs without a GIL, so there is none to record"

WORK = """\
import ctypes, sys, threading, time
cycle = ctypes.CDLL(None).getppid
def call():
    for _ in range(200): cycle()
def spin():
    end = time.monotonic() + 0.2
    while time.monotonic() < end: pass
def work():
    threads = [threading.Thread(target=f, name=f.__name__) for f in (call, spin, spin)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print("with" if sys._is_gil_enabled() else "without", flush=True)
"""
NAMES = {"MainThread", "call", "spin"}

# As extensions are that have never heard of interpreters without a GIL.
MODULE = """
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "needs_gil"};
PyMODINIT_FUNC PyInit_needs_gil(void) { return PyModule_Create(&definition); }
"""
NEED = """\
import warnings
warnings.simplefilter("ignore") # CPython says that it turns the GIL on
import needs_gil
"""


@pytest.fixture(autouse=True)
def _as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GIL until a module asks for it, however these tests are run."""
    monkeypatch.delenv("PYTHON_GIL", raising=False)


@pytest.fixture
def needs_gil(tmp_path: Path) -> None:
    """Programs in this folder can import ``needs_gil``, which turns the GIL on."""
    (tmp_path / "needs_gil.c").write_text(MODULE)
    built = str(tmp_path / "needs_gil") + str(sysconfig.get_config_var("EXT_SUFFIX"))
    include = "-I" + sysconfig.get_path("include")
    subprocess.run(
        ["cc", "-shared", "-fPIC", include, "-o", built, str(tmp_path / "needs_gil.c")], check=True
    )


def test_importing_it_leaves_the_gil_off() -> None:
    """No module that runs inside a target turns the GIL on, of which there would be a warning."""
    run_python(
        """
        import pkgutil, sys, warnings
        warnings.simplefilter("error")
        assert not sys._is_gil_enabled()
        import giltrace, giltrace._core, giltrace.runtime
        for module in pkgutil.iter_modules(giltrace.runtime.__path__, "giltrace.runtime."):
            __import__(module.name)
        assert not sys._is_gil_enabled()
        """
    )


def test_a_gil_that_is_there_for_a_moment_is_none() -> None:
    """CPython has one while it imports an extension module; that is nothing to record."""
    run_python(
        """
        import importlib.util, sys, threading
        from giltrace import _core
        asked, done, spec = 0, False, importlib.util.find_spec("_queue")
        def load():
            while not done: importlib.util.module_from_spec(spec)
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads: thread.start()
        try:
            while asked < 10_000:
                asked += 1
                try:
                    raise AssertionError(_core.probe())
                except _core.TapError as error:
                    assert "without a GIL" in str(error), error
        finally:
            done = True
            for thread in threads: thread.join()
        assert not sys._is_gil_enabled()
        """
    )


def test_without_a_gil_nothing_is_recorded_and_that_is_said(tmp_path: Path) -> None:
    """The program does what it does as it is, and no empty capture passes for good news."""
    output = tmp_path / "out.giltrace"
    program = script(tmp_path, WORK + "work(); sys.exit(3)")
    done = record(output, program)
    assert (done.returncode, done.stdout) == (3, "without\n")
    assert f"nothing was recorded: {REASON}" in done.stderr
    assert not output.exists()
    doctor = subprocess.run(
        [sys.executable, "-m", "giltrace", "doctor"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert "runs without a GIL" in doctor.stdout and "PYTHON_GIL=1" in doctor.stdout


def test_without_a_gil_there_is_nothing_to_be_first_at(tmp_path: Path) -> None:
    """Policies and priorities are refused, and a program that was to have some runs without."""
    run_python(
        f"""
        import giltrace
        from giltrace import _core
        for ask in (lambda: giltrace.policy("auto"), lambda: giltrace.set_priority(1)):
            try:
                ask()
            except _core.TapError as error:
                assert str(error) == {REASON!r}, error
            else:
                raise AssertionError
        assert giltrace.policy("cpython") == "cpython" and giltrace.get_priority() == 0
        """
    )
    program = script(tmp_path, WORK + "work(); sys.exit(3)")
    done = subprocess.run(
        [sys.executable, "-m", "giltrace", "run", sys.executable, program],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "without\n")
    assert "no priorities" in done.stderr and REASON in done.stderr


@pytest.mark.parametrize("options", [(), ("--policy", "auto")], ids=["as-it-is", "policy"])
def test_with_its_gil_it_is_recorded_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """``PYTHON_GIL=1``: every thread's holds and waits, and all invariants."""
    monkeypatch.setenv("PYTHON_GIL", "1")
    trace = both(tmp_path, WORK + "work()", options=("-q", *options))
    assert {trace.threads[i].name for i in set(trace.holds.thread.tolist())} == NAMES
    assert len(trace.waits) > 0 and trace.processes[0].gil_enabled
    assert trace.lost_events == 0


@pytest.mark.usefixtures("needs_gil")
def test_a_gil_that_comes_in_the_middle_disturbs_nothing(tmp_path: Path) -> None:
    """A process that was refused at its start goes on as it is, with the GIL and without."""
    output = tmp_path / "out.giltrace"
    program = script(tmp_path, WORK + f"work()\n{NEED}work(); sys.exit(3)")
    plain = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, env=environment(), check=False
    )
    done = record(output, program)
    assert said(plain) == (3, "without\nwith\n", "")
    assert said(done)[:2] == said(plain)[:2] and REASON in done.stderr


@pytest.mark.usefixtures("needs_gil")
def test_a_gil_that_comes_in_the_middle_can_be_recorded(tmp_path: Path) -> None:
    """From then on `Recorder` and policies work in that process, which refused them before."""
    output = tmp_path / "out.giltrace"
    program = script(
        tmp_path,
        WORK
        + f"""
import giltrace
from giltrace.errors import GiltraceError
work()
try:
    giltrace.Recorder(sys.argv[1]).start()
except GiltraceError as error:
    assert str(error) == {REASON!r}, error
else:
    raise AssertionError
{NEED}
with giltrace.Recorder(sys.argv[1]):
    work()
giltrace.policy("auto")
work()
""",
    )
    done = subprocess.run(
        [sys.executable, program, str(output)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert said(done) == (0, "without\nwith\nwith\n", "")
    trace = whole(output)
    assert {trace.threads[i].name for i in set(trace.holds.thread.tolist())} == NAMES


@pytest.mark.usefixtures("needs_gil")
def test_attaching_before_and_after_the_gil_has_come(tmp_path: Path) -> None:
    """Before, it is refused for that reason; after, it records; the process is left as it was."""
    output, come = tmp_path / "out.giltrace", tmp_path / "come"
    main = f"""
        while not os.path.exists({str(come)!r}):
            time.sleep(0.01)
        import warnings
        warnings.simplefilter("ignore")
        import needs_gil
        print("come", flush=True)
        wait_for_flag()
    """
    with running(tmp_path, main) as target:
        done = attach(target.pid, "-q", "-o", str(output), "--duration", "0.1")
        assert done.returncode != 0 and "without a GIL" in done.stderr
        come.touch()
        assert target.process.stdout is not None
        assert target.process.stdout.readline() == "come\n"
        done = attach(target.pid, "-q", "-o", str(output), "--duration", "0.1")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert target.end() == UNTOUCHED
    trace = load(output)
    assert {"MainThread", "worker"} <= {thread.name for thread in trace.threads}
    assert check(trace) == []
