"""The tables of `giltrace bench`, from figures that need no run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from giltrace.cli import bench_table
from giltrace.experiment import ccbench, rows
from giltrace.experiment.ccbench import Measure
from giltrace.experiment.legs import Finished
from giltrace.experiment.plan import Leg, Settings

HEAD = {"machine": {"usable_cores": 2, "processor": "Some Chip", "architecture": "x"}}
PYTHON = "CPython 3.11.7"


def ran(leg: Leg, ms: float, **more: Any) -> Finished[Leg]:
    """A leg whose requests took so many milliseconds."""
    result = {
        "requests": 300,
        "seconds": ms * 0.3,
        "ms_per_request": ms,
        "p50_ms": ms / 2,
        "p99_ms": ms,
        "max_ms": ms * 10,
        "switch_interval_ns": 5_000_000,
        "timed_out": False,
        "load_kept": 0.75 if leg.load else None,
        "unloaded_rate": 1.0 if leg.load else None,
    }
    return Finished(leg, {**result, **more})


def table(*finished: Finished[Leg]) -> list[str]:
    """The lines of the table."""
    return bench_table.render(rows.rows(finished), HEAD).splitlines()


def test_ours_beside_the_talk() -> None:
    """Seconds, times, slow-down, what the thread kept; then the talk's."""
    loaded = Leg("blocking", PYTHON, 1, "spin")
    assert table(
        ran(Leg("blocking", PYTHON), 1.25),
        ran(loaded, 12.5),
        ran(replace(loaded, repeat=2), 12.5),
        ran(Leg("asyncio", PYTHON), 1.0),
    ) == [
        "300 requests of 8,192 bytes, 1 ms of sleep before each, medians of 2 runs",
        "2 cores, Some Chip",
        "",
        "                      ms per  round  trip  in ms  slow-   CPU     talk,   ms per  slow-",
        "            seconds  request    p50   p99    max   down  kept   seconds  request   down",
        "",
        "CPython 3.11.7, switch interval 5 ms",
        "blocking       0.38     1.25   0.62  1.25   12.5                   12.7     1.27",
        "  + 1 spin     3.75     12.5   6.25  12.5    125  10.0x   75%     142.0     14.2  11.2x",
        "asyncio        0.30     1.00   0.50  1.00   10.0",
        "",
        "The talk: 10,000 requests; David Beazley, Embracing the GIL, PyCon 2012 (Python 3.2).",
    ]


def test_bounds() -> None:
    """Figures of a run that was cut short are marked, and the mark explained."""
    lines = table(
        ran(Leg("asyncio", PYTHON), 1.0),
        ran(Leg("asyncio", PYTHON, 1, "fib"), 5.0, timed_out=True),
    )
    (line,) = (line for line in lines if "fib" in line)
    assert ["+", "1", "fib", ">1.50", ">5.00", ">2.50", ">5.00", ">50.0", ">5.0x", "75%"] == (
        line.split()
    )
    assert ">: the time limit ended a run; the figure is a lower bound." == lines[-1]


def test_what_did_not_run() -> None:
    """A row says why; if none of an interpreter ran, that is said once."""
    gone = [Finished(Leg("blocking", "gone\x1b[2J", load), error="no\nprogram") for load in (0, 1)]
    lines = table(
        ran(Leg("asyncio", PYTHON), 1.0),
        Finished(Leg("c-zmq", PYTHON, 1, "spin"), error="no compiler"),
        *gone,
    )
    assert [
        "CPython 3.11.7, switch interval 5 ms",
        "asyncio            0.30     1.00   0.50  1.00   10.0",
        "c-zmq + 1 spin  did not run: no compiler",
        "",
        "gone\\x1b[2J",
        "                did not run: no program",
    ] == lines[6:]


def test_sections() -> None:
    """Each interpreter and each switch interval has its own, the heads stand once."""
    lines = table(
        *(
            ran(Leg("blocking", label, 0, "none", span), 1.0, switch_interval_ns=span * 1e9)
            for label in (PYTHON, "PyPy 7.3.11 (3.9.16)")
            for span in (0.005, 0.0001)
        )
    )
    assert [
        "CPython 3.11.7, switch interval 5 ms",
        "CPython 3.11.7, switch interval 100 µs",
        "PyPy 7.3.11 (3.9.16), switch interval 5 ms",
        "PyPy 7.3.11 (3.9.16), switch interval 100 µs",
    ] == [line for line in lines if "interval" in line]
    assert 1 == sum("p99" in line for line in lines)


def test_conditions() -> None:
    """What was asked for stands above."""
    settings = Settings(requests=10_000, size=1, sleep_ms=0, pin=True)
    first = table(ran(Leg("asyncio", PYTHON, settings=settings), 1.0))[0]
    assert "10,000 requests of 1 bytes, 0 ms of sleep before each, the server on one core" == first


def test_measures() -> None:
    """One block for each measure, compared with what it is measured against."""
    finished = [
        Finished(Measure("throughput", "bz2", 1, PYTHON), {"per_s": 100.0}),
        Finished(Measure("throughput", "bz2", 2, PYTHON), {"per_s": 150.0}),
        Finished(Measure("latency", "pidigits", 0, PYTHON), {"mean_ms": 0.125, "max_ms": 0.5}),
        Finished(Measure("latency", "regex", 1, PYTHON), {"mean_ms": 12.5, "max_ms": 50.0}),
        Finished(Measure("bandwidth", "pidigits", 0, PYTHON), error="lost"),
    ]
    for run in finished:
        if run.result:
            run.result["switch_interval_ns"] = 5_000_000
    lines = bench_table.render_measures(ccbench.rows(finished), HEAD).splitlines()
    assert lines == [
        "2 cores, Some Chip",
        "",
        "CPython 3.11.7, switch interval 5 ms",
        "",
        "                                 against",
        "throughput             steps/s  1 thread",
        "  bz2        1 thread      100     1.00x",
        "  bz2       2 threads      150     1.50x",
        "",
        "                          against  longest,",
        "latency               ms     none        ms",
        "  beside      none  0.12    1.00x      0.50",
        "  regex   1 thread  12.5  100.00x      50.0",
        "",
        "                            against",
        "bandwidth    round trips/s     none",
        "  beside   none  did not run: lost",
    ]
