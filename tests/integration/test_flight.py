"""The flight recorder with real programs: what triggered it is in the capture."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from giltrace.capture import read
from giltrace.model import Trace, check, load
from tests.support.recorder import command, record, script

# Two threads in a hurry; a third sits on the GIL for 80 ms, in C, whenever there is a `stall`.
BUSY = """
import ctypes, os, pathlib, threading, time
c, keeping = ctypes.CDLL(None), ctypes.PyDLL(None)
def cycles():
    while not over:
        c.getppid()
        time.sleep(0)
def stall():
    keeping.usleep(80_000)
def until(path):
    while not pathlib.Path(path).exists():
        time.sleep(0.005)
over = False
threads = [threading.Thread(target=cycles) for _ in range(2)]
for thread in threads:
    thread.start()
def main():
STORY
try:
    main()
finally:
    over = True
"""
STALL_LINE = BUSY.splitlines().index("    keeping.usleep(80_000)") + 1


def busy(folder: Path, *story: str) -> str:
    """A program in which this happens; gives its path."""
    return script(folder, BUSY.replace("STORY", "\n".join(f"    {line}" for line in story)))


def longest_hold(trace: Trace) -> tuple[int, int]:
    """How long it took in ns, and the line at which it ended."""
    row = int(trace.holds.ns.argmax())
    return int(trace.holds.ns[row]), trace.places[trace.holds.place[row]].line


def test_the_capture_contains_the_stall(tmp_path: Path) -> None:
    """A wait that is too long makes a capture of the seconds before, the stall among them."""
    # The first seconds are out of the window by then.
    story = [
        "print(time.monotonic_ns(), flush=True)",
        "time.sleep(2.5)",
        "stall()",
        "until('out-1.giltrace')",
    ]
    program = busy(tmp_path, *story)
    output = tmp_path / "out.giltrace"
    done = record(output, program, options=("--ring", "1", "--trigger", "wait>50ms"))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.giltrace")) == ["out-1.giltrace"]
    assert "wrote " in done.stderr and "What is in it: giltrace report" in done.stderr
    capture = read(tmp_path / "out-1.giltrace")
    assert capture.session.options["trigger"].startswith("a wait of ")
    assert "the recording went on" in (capture.end.reason if capture.end else "")
    trace = load(tmp_path / "out-1.giltrace")
    assert check(trace) == []
    hold_ns, line = longest_hold(trace)
    assert hold_ns > 50_000_000
    assert line == STALL_LINE
    assert int(trace.waits.ns.max()) > 50_000_000
    assert trace.start_ns > int(done.stdout) + 1_000_000_000
    assert {"MainThread", "Thread-1 (cycles)"} <= {thread.name for thread in trace.threads}
    assert any("keeping.usleep" in source.text for source in capture.sources)
    assert [note for note in trace.notes if "not on record" in note] == []
    assert trace.lost_events == 0


def test_without_a_trigger_the_end_is_kept(tmp_path: Path) -> None:
    """With nothing to wait for, the capture is of the program's last seconds, and explained."""
    program = busy(
        tmp_path, "print(time.monotonic_ns(), flush=True)", "time.sleep(2.5)", "os._exit(3)"
    )
    output = tmp_path / "out.giltrace"
    done = record(output, program, options=("--ring", "1"))
    assert done.returncode == 3
    assert "was recorded for" in " ".join(done.stderr.split())
    trace = load(output)
    assert check(trace) == []
    assert trace.end is not None and trace.end.exit_code == 3
    assert trace.start_ns > int(done.stdout) + 1_000_000_000


def test_one_capture_in_each_cool_down(tmp_path: Path) -> None:
    """Stalls that come while a capture is still fresh write no other."""
    story = ["stall()", "until('out-1.giltrace')", *["stall()"] * 5]
    done = record(
        tmp_path / "out.giltrace",
        busy(tmp_path, *story),
        options=("--ring", "5", "--trigger", "wait>50ms | hold>60ms"),
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("*.giltrace")] == ["out-1.giltrace"]
    done = record(
        tmp_path / "again.giltrace",
        busy(
            tmp_path, "stall()", "until('again-1.giltrace')", "stall()", "until('again-2.giltrace')"
        ),
        options=("--ring", "5", "--trigger", "hold>60ms", "--cool-down", "0"),
    )
    assert done.returncode == 0, done.stderr


def test_a_signal_and_the_captures_that_are_kept(tmp_path: Path) -> None:
    """SIGUSR1 is for the recorder, at any time; only so many captures stay, the latest."""
    story = [
        "for number in range(1, 5):",
        f"    os.kill(os.getppid(), {int(signal.SIGUSR1)})",
        "    until(f'out-{number}.giltrace')",
    ]
    (tmp_path / "out-2.giltrace").write_text("somebody's own")
    story[2] = "    until(f'out-{number + (number > 1)}.giltrace')"
    done = record(
        tmp_path / "out.giltrace",
        busy(tmp_path, *story),
        options=("--ring", "5", "--trigger", "signal", "--keep", "2"),
    )
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in tmp_path.glob("*.giltrace"))
    assert names == ["out-2.giltrace", "out-4.giltrace", "out-5.giltrace"]
    assert (tmp_path / "out-2.giltrace").read_text() == "somebody's own"
    assert read(tmp_path / "out-5.giltrace").session.options["trigger"] == "SIGUSR1"


def test_in_the_middle_of_everything_nothing_is_missing(tmp_path: Path) -> None:
    """Threads are drained one after the other, and still a capture ends at one time for all."""
    story = [
        "more = [threading.Thread(target=cycles) for _ in range(4)]",
        "for thread in more: thread.start()",
        "for number in range(1, 13):",
        "    time.sleep(0.12)  # so that there is something new in each",
        f"    os.kill(os.getppid(), {int(signal.SIGUSR1)})",
        "    until(f'out-{number}.giltrace')",
    ]
    done = record(
        tmp_path / "out.giltrace",
        busy(tmp_path, *story),
        options=("--ring", "1", "--trigger", "signal", "--keep", "12"),
    )
    assert done.returncode == 0, done.stderr
    for number in range(1, 13):
        trace = load(tmp_path / f"out-{number}.giltrace")
        assert check(trace) == []
        assert [note for note in trace.notes if "not on record" in note] == []


def test_nothing_happened(tmp_path: Path) -> None:
    """A program without a reason to capture anything leaves no file."""
    done = record(
        tmp_path / "out.giltrace",
        script(tmp_path, "print('hello')"),
        options=("--ring", "5", "--trigger", "wait>10s"),
    )
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert "Nothing happened that was to be captured" in done.stderr
    assert list(tmp_path.glob("*.giltrace")) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ring", "5", "--trigger", "wait>20"), "there is no trigger 'wait>20'"),
        (("--ring", "5", "--trigger", "boredom"), "there is no trigger 'boredom'"),
        (("--trigger", "signal"), "--trigger needs --ring"),
        (("--cool-down", "5"), "--cool-down needs --ring"),
        (("--keep", "3"), "--keep needs --ring"),
        (("--ring", "0"), "0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """One line says what is wrong, and nothing is started."""
    program = script(tmp_path, "print('started')")
    done = record(tmp_path / "out.giltrace", program, options=options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_capture_that_cannot_be_written(tmp_path: Path) -> None:
    """The program runs on, later captures are written, and the end says what went wrong."""
    folder = tmp_path / "captures"
    folder.mkdir()
    ask = f"os.kill(os.getppid(), {int(signal.SIGUSR1)})"
    story = [
        f"os.rename('{folder}', '{folder}-gone')",
        ask,
        "until('go-on')",
        f"os.rename('{folder}-gone', '{folder}')",
        ask,
        f"until('{folder}/out-2.giltrace')",
        "print('done')",
    ]
    options = ("--ring", "5", "--trigger", "signal")
    command_line = command(folder / "out.giltrace", busy(tmp_path, *story), options=options)
    with subprocess.Popen(
        command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stderr is not None
        assert "cannot write" in process.stderr.readline()
        (tmp_path / "go-on").touch()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "done\n")
    assert "out-2.giltrace" in err
    assert "captures that could not be written: 1" in err
