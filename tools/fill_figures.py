"""Put the figures of sample_runs/ into the documents, each with the command that gives it.

    python tools/fill_figures.py [--check] [--samples DIR] [PAGE …]

A page has pairs of comments, ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``; what
stands between them is written anew. With --check nothing is written, and the exit status says
whether something would be.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import giltrace
from giltrace.experiment import intervals, machine, published
from giltrace.experiment.plan import USUAL_INTERVAL_S

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    ROOT / "docs/explanation/the-experiment.md",
    ROOT / "docs/explanation/priorities.md",
    ROOT / "sample_runs/README.md",
)
BLOCK = re.compile(
    r"(?P<start><!-- figures: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end of figures -->)", re.DOTALL
)
MISSING = "*Not measured yet; `make samples` does that.*\n"
SERVER_THREAD = "MainThread"
PYTHON_SERVERS = [name for name in published.TALK if name != "c-zmq"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Samples:
    """The directory with the samples, seen from a page.

    Attributes:
        folder: Where they are.
        link: The same, relative to the page.
    """

    folder: Path
    link: str

    def document(self, name: str) -> dict[str, Any]:
        """Return a JSON document.

        Raises:
            FileNotFoundError: It has not been made.
        """
        value: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        return value


def talk(samples: Samples) -> str:
    """Every server of the talk on every interpreter, beside the talk's own figures."""
    document = samples.document("talk")
    rows: list[Row] = document["rows"]
    labels = list(dict.fromkeys(row["interpreter"] for row in rows))
    lines = []
    for name, figures in published.TALK.items():
        per_ms = 1e3 / published.MESSAGES
        cells = [_change(figures.alone_s * per_ms, figures.loaded_s * per_ms, figures.slowdown)]
        for label in labels:
            alone, loaded = (_find(rows, name, label, load) for load in (0, 1))
            cells.append(_compared(alone, loaded))
        lines.append([f"`{name}`", *cells])
    pythons = " ".join(f"--python {_program(label)}" for label in labels)
    return (
        _picture(samples, "talk", "Bars: milliseconds per request of each server")
        + _table(["ms per request", "the talk (3.2)", *labels], lines)
        + _command(f"giltrace bench --full {pythons}", document)
    )


def kept(samples: Samples) -> str:
    """What the CPU thread kept of its own speed, on every interpreter."""
    document = samples.document("talk")
    rows: list[Row] = document["rows"]
    labels = list(dict.fromkeys(row["interpreter"] for row in rows))
    lines = [
        [f"`{name}`", *(_share(_find(rows, name, label, 1)) for label in labels)]
        for name in published.TALK
    ]
    return _table(["beside", *labels], lines) + _command("giltrace bench --full", document)


def stalls(samples: Samples) -> str:
    """What the captures say of each request, and what the client says."""
    document = samples.document("captures")
    alone = {row["scenario"]: row for row in document["rows"] if not row["load"]}
    lines = []
    for row in document["rows"]:
        if not row["load"] or row["error"] or not row["legs"][0]["capture"]:
            continue
        releases, waits, wait_ms = _server(samples.folder, row)
        extra_ms = row["ms_per_request"] - alone[row["scenario"]]["ms_per_request"]
        mean = f"{wait_ms / waits:.2f}" if waits else ""
        cells = [f"{releases:.1f}", f"{waits:.2f}", mean, f"{wait_ms:.2f}", f"{extra_ms:.2f}"]
        lines.append([f"`{row['scenario']}`", *cells])
    heads = ["per request", "releases", "waits", "ms a wait", "ms waited", "extra ms at the client"]
    return _table(heads, lines) + _command(
        f"giltrace bench --requests {_requests(document)} --repeat 1 --sleep-ms 0 --record DIR",
        document,
    )


def _server(folder: Path, row: Row) -> tuple[float, float, float]:
    """Releases, waits and milliseconds waited of the server's thread, per request of the client."""
    leg = row["legs"][0]
    trace = giltrace.load(folder / leg["capture"])
    thread = next(thread.index for thread in trace.threads if thread.name == SERVER_THREAD)

    def mine(columns: Any) -> Any:
        within = (columns.start >= leg["start_ns"]) & (columns.end <= leg["end_ns"])
        return (columns.thread == thread) & within

    waited_ns = (trace.waits.end - trace.waits.start)[mine(trace.waits)]
    count = row["requests"]
    return (
        float(mine(trace.holds).sum()) / count,
        len(waited_ns) / count,
        float(waited_ns.sum()) / 1e6 / count,
    )


def sweep(samples: Samples) -> str:
    """The switch interval against the time of a request."""
    document = samples.document("sweep")
    rows: list[Row] = document["rows"]
    spans = list(dict.fromkeys(row["switch_interval_s"] for row in rows))
    lines = [["alone"], ["beside one thread"], ["the thread keeps"]]
    for span in spans:
        alone, loaded = (
            next(row for row in rows if row["load"] == load and row["switch_interval_s"] == span)
            for load in (0, 1)
        )
        lines[0].append(_ms(alone))
        lines[1].append(_ms(loaded))
        lines[2].append(_share(loaded))
    words = ",".join(map(intervals.label, spans))
    return (
        _picture(samples, "sweep", "A curve that falls with the switch interval")
        + _table(["ms per request", *map(intervals.show, spans)], lines)
        + _command(
            f"giltrace bench blocking --requests {_requests(document)} --switch-interval {words}",
            document,
        )
    )


def loads(samples: Samples) -> str:
    """More threads, and the controls."""
    document = samples.document("loads")
    rows: list[Row] = document["rows"]
    names = list(dict.fromkeys(row["scenario"] for row in rows))
    cases = list(dict.fromkeys((row["load"], row["load_kind"]) for row in rows))
    lines = [
        [
            f"{load} `{kind}`" if load else "alone",
            *(
                _ms(row) + (f" ({row['slowdown']:.1f}x)" if load and row["slowdown"] else "")
                for name in names
                for row in rows
                if (row["scenario"], row["load"], row["load_kind"]) == (name, load, kind)
            ),
        ]
        for load, kind in cases
    ]
    options = " ".join(f"--load {load}" for load in dict.fromkeys(load for load, _ in cases))
    kinds = dict.fromkeys(kind for load, kind in cases if load)
    options += "".join(f" --load-kind {kind}" for kind in kinds)
    heads = ["ms per request, beside", *(f"`{name}`" for name in names)]
    command = f"giltrace bench {' '.join(names)} --requests {_requests(document)} {options}"
    return _table(heads, lines) + _command(command, document)


def policies(samples: Samples) -> str:
    """Every server in Python under every policy and switch interval, beside threads."""
    documents = {name: samples.document(f"policies-{name}") for name in PYTHON_SERVERS}
    lines, loads = [], []
    for name, document in documents.items():
        rows: list[Row] = document["rows"]
        loads = list(dict.fromkeys(row["load"] for row in rows))
        for rule in dict.fromkeys((row["policy"], row["switch_interval_s"]) for row in rows):
            cells = [
                _measured(row)
                for load in loads
                for row in rows
                if (row["policy"], row["switch_interval_s"], row["load"]) == (*rule, load)
            ]
            lines.append([f"`{name}`", _rule(*rule), *cells])
    options = "".join(f" --load {load}" for load in loads)
    options += "".join(f" --policy {row['policy']}" for row in _first(rows, "policy"))
    spans = [intervals.label(row["switch_interval_s"]) for row in _first(rows, "switch_interval_s")]
    heads = [f"{load} thread{'s' * (load > 1)}" if load else "alone" for load in loads]
    return _table(["server", "", *heads], lines, words=2) + _command(
        f"giltrace bench {' '.join(documents)} --requests {_requests(document)} --repeat 1"
        f"{options} --switch-interval {','.join(spans)}",
        document,
    )


def _rule(policy: str, span_s: float) -> str:
    if policy != "cpython":
        return f"`{policy}`"
    return "`cpython`" if span_s == USUAL_INTERVAL_S else f"every {intervals.show(span_s)}"


def _measured(row: Row) -> str:
    """Time of a request, 99th percentile of the round trips, and what the threads keep."""
    share = f" / {_share(row)}" if row["load"] else ""
    p99 = "" if row["p99_ms"] is None else f" / {row['p99_ms']:.1f}"
    return f"{_ms(row)}{p99}{share}"


def _first(rows: Sequence[Row], name: str) -> list[Row]:
    """The first row of each value."""
    found: dict[Any, Row] = {}
    for row in rows:
        found.setdefault(row[name], row)
    return list(found.values())


def keystroke(samples: Samples) -> str:
    """From a key to its echo, before and after."""
    document = samples.document("keystroke")
    lines = [
        [
            ("beside a thread that computes" if row["load"] else "alone"),
            f"`{row['policy']}`",
            *(f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms", "max_ms")),
            _share(row),
        ]
        for row in document["rows"]
    ]
    heads = ["ms from a key to its echo", "policy", "median", "p99", "longest", "the thread keeps"]
    options = "".join(f" --policy {row['policy']}" for row in _first(document["rows"], "policy"))
    return _table(heads, lines, words=2) + _command(
        f"giltrace bench keystroke --sleep-ms {document['rows'][0]['sleep_ms']:g} "
        f"--requests {_requests(document)} --repeat 1{options} --record DIR",
        document,
    )


def pypy(samples: Samples) -> str:
    """PyPy beside a recursive thread."""
    document = samples.document("pypy-fib")
    lines = [
        [
            "beside `fib`" if row["load"] else "alone",
            str(row["requests"]),
            _ms(row),
            "yes" if row["timed_out"] else "no",
        ]
        for row in document["rows"]
        if not row["error"]
    ]
    heads = [document["rows"][0]["interpreter"], "requests", "ms per request", "cut short"]
    return _table(heads, lines) + _command(
        "giltrace bench blocking --load-kind fib --time-limit 30 --python pypy3", document
    )


def ccbench(samples: Samples) -> str:
    """The three measures."""
    document = samples.document("ccbench")
    lines = []
    for row in document["ccbench"]:
        if row["value"] is not None:
            value = f"{row['value']:,.0f}" if row["value"] >= 100 else f"{row['value']:.3g}"
            threads = f"{row['threads']} `{row['task']}`" if row["threads"] else "none"
            ratio = f"{row['ratio']:.2f}x" if row["ratio"] else ""
            lines.append([row["measure"], threads, f"{value} {row['unit']}", ratio])
    heads = ["measure", "threads", "value", "against one thread, or none"]
    return _table(heads, lines, words=2) + _command("giltrace bench --ccbench --full", document)


def files(samples: Samples) -> str:
    """What lies in the directory."""
    found = sorted(path for path in samples.folder.iterdir() if path.suffix in _WHAT)
    if not found:
        raise FileNotFoundError
    lines = [
        [f"[{path.name}]({samples.link}{path.name})", what, f"{path.stat().st_size / 1e3:.0f} kB"]
        for path in found
        if (what := _WHAT[path.suffix](path.stem))
    ]
    return _table(["file", "what it is", "size"], lines, words=2)


def _capture(stem: str) -> str:
    server, alone, words = stem.rpartition("-alone")
    if not alone:
        server, _, words = stem.rpartition("-1-")
    load, _, policy = words.partition("-")
    under = f", under the policy `{policy}`" if policy else ""
    beside = ", alone" if alone else f" beside one thread that does `{load}`"
    return f"the server `{server}`{beside}{under}"


_DOCUMENTS = {
    "captures": "what the clients of these captures measured",
    "priorities": "one server under other policies than CPython's",
    "keystroke": "a terminal program before and after",
    **{
        f"policies-{name}": f"the server `{name}` under every policy and switch interval"
        for name in PYTHON_SERVERS
    },
    "talk": "the talk's five servers with the talk's numbers, on several interpreters",
    "sweep": "one server with switch intervals from long to short",
    "loads": "more threads, and the controls: processes, and threads that hold no GIL",
    "pypy-fib": "PyPy beside a thread that never lets go",
    "ccbench": "throughput, latency and bandwidth beside threads",
}
_WHAT: dict[str, Callable[[str], str]] = {
    ".giltrace": _capture,
    ".json": lambda stem: _DOCUMENTS.get(stem, ""),
    ".svg": lambda stem: f"the plot of {stem}.json",
}

BLOCKS: dict[str, Callable[[Samples], str]] = {
    "talk": talk,
    "kept": kept,
    "stalls": stalls,
    "sweep": sweep,
    "loads": loads,
    "policies": policies,
    "keystroke": keystroke,
    "pypy": pypy,
    "ccbench": ccbench,
    "files": files,
}
"""What can stand between two comments, by name."""


def fill(page: Path, folder: Path) -> str:
    """Return the text of a page with its figures.

    Raises:
        KeyError: It asks for a block that does not exist.
    """
    link = os.path.relpath(folder, page.parent)
    samples = Samples(folder, "" if link == "." else link.replace(os.sep, "/") + "/")

    def block(match: re.Match[str]) -> str:
        try:
            text = BLOCKS[match["name"]](samples)
        except FileNotFoundError:
            text = MISSING
        return f"{match['start']}\n{text}\n{match['end']}"

    return BLOCK.sub(block, page.read_text("utf-8"))


def _find(rows: Sequence[Row], name: str, label: str, load: int) -> Row | None:
    key = (name, label, load)
    return next((r for r in rows if (r["scenario"], r["interpreter"], r["load"]) == key), None)


def _compared(alone: Row | None, loaded: Row | None) -> str:
    if alone is None or loaded is None:
        return ""
    if alone["error"] or loaded["error"]:
        return "did not run"
    words = _change(alone["ms_per_request"], loaded["ms_per_request"], loaded["slowdown"])
    return f"over {words}" if loaded["timed_out"] else words


def _change(alone_ms: float, loaded_ms: float, slowdown: float) -> str:
    return f"{alone_ms:.2f} → {loaded_ms:.2f} ({slowdown:.1f}x)"


def _ms(row: Row) -> str:
    if row["ms_per_request"] is None:
        return "did not run"
    return (">" if row["timed_out"] else "") + f"{row['ms_per_request']:.2f}"


def _share(row: Row | None) -> str:
    if row is None or row["cpu_rate_ratio"] is None:
        return ""
    return f"{row['cpu_rate_ratio']:.0%}"


def _requests(document: dict[str, Any]) -> int:
    return int(document["rows"][0]["requests"])


def _program(label: str) -> str:
    """What an interpreter is usually called, from its label in the rows."""
    name, _, version = label.partition(" ")
    if name == "PyPy":
        return "pypy3"
    return "python" + ".".join(version.split(".")[:2]) + ("t" if version.endswith("t") else "")


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table whose first columns, so many, are words, and the others figures."""
    rule = ["---"] * words + ["---:"] * (len(heads) - words)
    rows = [heads, rule, *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _picture(samples: Samples, name: str, words: str) -> str:
    if not (samples.folder / f"{name}.svg").exists():
        return ""
    return f"![{words}]({samples.link}{name}.svg)\n\n"


def _command(command: str, document: dict[str, Any]) -> str:
    where = machine.show(document["machine"])
    return f"\n```console\n$ {command}\n```\n\nMeasured on {where}.\n"


def main() -> int:
    """Fill the pages; return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    parser.add_argument("--samples", type=Path, default=ROOT / "sample_runs", metavar="DIR")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    stale = 0
    for page in options.pages or PAGES:
        text = fill(page.resolve(), options.samples.resolve())
        if text == page.read_text("utf-8"):
            continue
        stale += 1
        print(f"{page}: {'out of date' if options.check else 'filled'}", file=sys.stderr)
        if not options.check:
            page.write_text(text, "utf-8")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
