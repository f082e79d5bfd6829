"""The tables of ``giltrace bench``: ours beside the talk's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from giltrace.experiment import intervals, machine, published
from giltrace.experiment.ccbench import UNITS, MeasureRow
from giltrace.experiment.plan import CPYTHON
from giltrace.experiment.rows import Row
from giltrace.model.text import printable

_HEADS: Final = (
    ("", "", "ms per", "round", "trip", "in ms", "slow-", "CPU", "talk,", "ms per", "slow-"),
    (
        *("", "seconds", "request", "p50", "p99", "max", "down", "kept"),
        *("seconds", "request", "down"),
    ),
)
_TALK_COLUMN: Final = 8
_WHY_LIMIT: Final = 300

_BASES: Final = {"throughput": "1 thread", "latency": "none", "bandwidth": "none"}


def render(rows: Sequence[Row], head: Mapping[str, Any]) -> str:
    """Return the table of the servers, a section for each interpreter and switch interval.

    Args:
        rows: The rows, in the order they ran.
        head: What `document.start` returned.
    """
    settings = rows[0].leg.settings
    repeats = max(sum(bool(run.result) for run in row.legs) for row in rows)
    lines = [
        f"{settings.requests:,} requests of {settings.size:,} bytes, "
        f"{settings.sleep_ms:g} ms of sleep before each"
        + (f", medians of {repeats} runs" if repeats > 1 else "")
        + (", the server on one core" if settings.pin else ""),
        machine.show(dict(head["machine"])),
    ]
    lines += ["", *_table(rows), ""]
    if any(row.timed_out for row in rows):
        lines.append(">: the time limit ended a run; the figure is a lower bound.")
    if any(row.figures and row.talk_s is not None for row in rows):
        lines.append(f"The talk: {published.MESSAGES:,} requests; {published.SOURCE}.")
    return "\n".join(lines).rstrip("\n") + "\n"


def render_measures(rows: Sequence[MeasureRow], head: Mapping[str, Any]) -> str:
    """Return the table of the three measures; see `render`."""
    lines = [machine.show(dict(head["machine"]))]
    sections: dict[object, list[MeasureRow]] = {}
    for row in rows:
        key = (row.measure.interpreter, row.measure.switch_interval_s)
        sections.setdefault(key, []).append(row)
    for section in sections.values():
        intervals_s = (row.switch_interval_s for row in section if row.value is not None)
        lines += ["", _title(section[0].measure.interpreter, next(intervals_s, None))]
        for name, of_measure in groupby(section, lambda row: row.measure.name):
            heads = (
                ["", "", "", "against", *(["longest,"] if name == "latency" else [])],
                [name, "", UNITS[name], _BASES[name], *(["ms"] if name == "latency" else [])],
            )
            lines += ["", *_aligned(heads, [_measure_cells(row) for row in of_measure])]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    """The lines of one table, with a title above each section."""
    sections: dict[object, list[Row]] = {}
    for row in rows:
        key = (row.leg.interpreter, row.leg.switch_interval_s, row.leg.policy)
        sections.setdefault(key, []).append(row)
    cells = [_section(section) for section in sections.values()]
    lines = iter(_aligned(_HEADS, [row for section in cells for row in section]))
    table = [next(lines) for _ in _HEADS]
    for section, its_cells in zip(sections.values(), cells, strict=True):
        interval_s = next((row.switch_interval_s for row in section if row.figures), None)
        title = _title(section[0].leg.interpreter, interval_s, section[0].leg.policy)
        table += ["", title, *(next(lines) for _ in its_cells)]
    return table


def _title(interpreter: str, interval_s: float | None, policy: str = CPYTHON) -> str:
    words = [printable(interpreter)]
    if interval_s is not None:
        words.append(f"switch interval {intervals.show(interval_s)}")
    if policy != CPYTHON:
        words.append(f"policy {policy}" + (", CPU threads at -1" if policy == "manual" else ""))
    return ", ".join(words)


def _section(rows: Sequence[Row]) -> list[list[str]]:
    errors = {row.error for row in rows}
    if len(errors) == 1 and "" not in errors:
        return [["", *_error_cells(rows[0])]]
    cells: list[list[str]] = []
    before = ""
    for row in rows:
        name = row.leg.scenario
        if row.leg.load:
            name = ("  +" if name == before else f"{name} +") + f" {row.leg.load_label}"
        before = row.leg.scenario
        cells.append([name, *(_error_cells(row) if row.error else _cells(row))])
    return cells


def _error_cells(row: Row) -> list[str]:
    return ["did not run: " + printable(" ".join(row.error.split()), _WHY_LIMIT)]


def _cells(row: Row) -> list[str]:
    figures, bound = row.figures, ">" if row.timed_out else ""
    times = ("seconds", "ms_per_request", "p50_ms", "p99_ms", "max_ms")
    slower = f"{bound}{row.slowdown:.1f}x" if row.slowdown and row.leg.load else ""
    kept = "" if row.cpu_rate_ratio is None else f"{row.cpu_rate_ratio:.0%}"
    return [*(bound + _figure(figures[name]) for name in times), slower, kept, *_talk(row)]


def _talk(row: Row) -> list[str]:
    seconds = row.talk_s
    if seconds is None:
        return []
    ms = seconds * 1e3 / published.MESSAGES
    slower = f"{published.TALK[row.leg.scenario].slowdown:.1f}x" if row.leg.load else ""
    return [f"{seconds:.1f}", _figure(ms), slower]


def _measure_cells(row: MeasureRow) -> list[str]:
    measure = row.measure
    threads = f"{measure.threads} thread" + ("" if measure.threads == 1 else "s")
    name = [f"  {measure.task}", threads] if measure.threads else ["  beside", "none"]
    if row.value is None:
        return [*name, f"did not run: {printable(' '.join(row.error.split()), _WHY_LIMIT)}"]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    return [*name, _figure(row.value), ratio, *([] if row.worst is None else [_figure(row.worst)])]


def _figure(value: float) -> str:
    """Three significant digits or so; never an exponent."""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _aligned(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns: the first to the left, others to the right; words run on at the end."""
    columns = max(map(len, heads))
    measured = [row for row in [*heads, *rows] if not _is_error(row)]
    widths = [
        max((len(row[index]) for row in measured if index < len(row)), default=0)
        for index in range(columns)
    ]
    widths[0] = max([widths[0], *(len(row[0]) for row in rows)])
    return [_line(row, widths) for row in [*heads, *rows]]


def _is_error(row: Sequence[str]) -> bool:
    return any(cell.startswith("did not run") for cell in row)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = []
    for index, cell in enumerate(row):
        gap = "" if not index else "   " if index == _TALK_COLUMN else "  "
        if index == 0 or cell.startswith("did not run"):
            cells.append(gap + cell.ljust(widths[index]))
        else:
            cells.append(gap + cell.rjust(widths[index]))
    return "".join(cells).rstrip()
