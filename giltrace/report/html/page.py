"""A trace as one HTML page.

The page has no script, and its Content-Security-Policy lets it load nothing and run nothing; its
style sheet is allowed by its hash. Everything that comes from a trace goes through the template
engine's escaping: it is text, whatever it looks like.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from giltrace.analysis.findings.finding import Finding, Kind
from giltrace.model import Trace
from giltrace.model.text import printable
from giltrace.report import sections
from giltrace.report.html import charts, timeline
from giltrace.report.text import unicode
from giltrace.wording.human import duration, share
from giltrace.wording.opening import notes, scene
from giltrace.wording.remedies import outlooks
from giltrace.wording.results import Results
from giltrace.wording.stories import Story, tell

_PACKAGE: Final = "giltrace.report.html"
_NAME: Final = re.compile(r"`([^`]*)`")
_ROWS: Final = 12
_STORIES: Final = 20
_SHORT: Final = 24
_WORD_LIMIT: Final = 300
_YEAR_9999_NS: Final = 253_370_764_800_000_000_000


def render(trace: Trace, *, top: int = _ROWS, think_ns: int | None = None) -> str:
    """The page, in Unicode that UTF-8 can encode.

    Args:
        trace: what to report.
        top: rows of each table at most.
        think_ns: how long the outside world takes to answer, if that is known.
    """
    results = Results(trace, think_ns=think_ns)
    css = files(_PACKAGE).joinpath("page.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    template = _environment().get_template("page.html")
    text = template.render(
        css=Markup(css),  # noqa: S704 - our own style sheet
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'",
        program=_program(trace),
        facts=_facts(results),
        notes=notes(trace),
        scene=" ".join(scene(results)),
        findings=_findings(results),
        outlooks=[
            {"table": sections.outlook(outlook), "notes": outlook.notes}
            for outlook in outlooks(results)
        ],
        timeline=timeline.draw(results),
        bars=charts.thread_bars(results),
        histogram=charts.histogram(results),
        matrix=charts.blame_matrix(results),
        tables=list(sections.all_of(results, top)),
    )
    return unicode(text)


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(_PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["names"] = names
    made.filters["slug"] = slug
    return made


def names(text: str) -> Markup:
    """Words, with the names in backticks set off."""
    parts: list[str] = []
    for number, part in enumerate(_NAME.split(text)):
        parts.append(_code(part) if number % 2 else escape(part))
    return Markup("").join(parts)


def _code(name: str) -> Markup:
    """A name, which stays on one line if a narrow screen has room for it."""
    size = "short" if len(name) <= _SHORT else "long"
    return Markup('<code class="{}">{}</code>').format(size, name)


def slug(text: str) -> str:
    """A class name or an anchor of some of our own words."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _program(trace: Trace) -> str:
    argv = [
        word.rpartition("/")[2] if i == 0 else word for i, word in enumerate(trace.session.argv)
    ]
    return printable(" ".join(argv), _WORD_LIMIT) or "a program"


def _facts(results: Results) -> list[tuple[str, str]]:
    """What was recorded where and when, as pairs for the head of the page."""
    trace, session = results.trace, results.trace.session
    first = trace.processes[0] if trace.processes else None
    python = f"{first.implementation} {first.python}".replace("cpython", "CPython") if first else ""
    waited = sum(one.wait_ns for one in results.summary.gils)
    held = max((one.utilisation for one in results.summary.gils), default=0.0)
    facts = [
        ("recorded for", duration(trace.end_ns - trace.start_ns)),
        ("GIL held", share(held, 1)),
        ("waited in all", duration(waited)),
        ("threads", f"{len(trace.threads):,}"),
        ("processes", f"{len(trace.processes):,}"),
        ("Python", printable(python.strip())),
        ("host", printable(session.host)),
        ("begun", _date(session.started_unix_ns)),
        ("lost events", f"{trace.lost_events:,}" if trace.lost_events else ""),
    ]
    return [(head, text) for head, text in facts if text]


def _date(unix_ns: int) -> str:
    if not 0 < unix_ns < _YEAR_9999_NS:
        return ""
    return f"{datetime.fromtimestamp(unix_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _findings(results: Results) -> list[tuple[str, Story]]:
    """The tone of each finding, and its story."""
    return [(_tone(one), tell(results, one)) for one in results.findings[:_STORIES]]


def _tone(finding: Finding) -> str:
    """The class of its colour: what lost time is worse than another view of it."""
    if finding.kind is Kind.HEALTHY:
        return "good"
    return "bad" if finding.lost_ns and finding.kind is not Kind.NEEDLESS else "mild"
