"""Findings as a viewer shows them: one line on a slice, and the evidence as its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from giltrace.analysis.findings.finding import Finding, Hog, Kind
from giltrace.export import labels
from giltrace.model.text import printable
from giltrace.wording import human

if TYPE_CHECKING:
    from giltrace.model import Trace

_NAMED: Final = 3
_NOBODY: Final = "nobody in particular"


def title(trace: Trace, finding: Finding) -> str:
    """``convoy: io lost 3.8 s to spin, 5.1 ms at a time``."""
    return f"{finding.kind.value}: {_TITLES[finding.kind](trace, finding)}"


def args_of(trace: Trace, finding: Finding) -> dict[str, str | int]:
    """Who lost how much to whom, where, and how sure that is."""
    interval = human.duration(finding.switch_interval_ns)
    if health := finding.health:
        return {
            "acquires": health.acquires,
            "waits": health.waits,
            "longest_wait": human.duration(health.longest_wait_ns),
            "utilisation": human.share(health.utilisation, 1),
            "contention": human.share(health.contention, 1),
            "switch_interval": interval,
        }
    found: dict[str, str | int] = {
        "waits": finding.waits,
        "lost": human.duration(finding.lost_ns + finding.shared_ns),
        "longest_wait": human.duration(finding.max_ns),
        "due_to_switch_interval": human.share(
            finding.interval_ns, finding.lost_ns + finding.shared_ns
        ),
        "switch_interval": interval,
        "confidence": human.share(finding.confidence, 1),
    }
    if finding.shared_ns:
        found["counted_in_other_findings"] = human.duration(finding.shared_ns)
    for number, victim in enumerate(finding.victims[:_NAMED], 1):
        found[f"victim_{number}"] = (
            f"{_thread(trace, victim.thread)}: {human.count(victim.waits, 'wait')},"
            f" {human.duration(victim.lost_ns)}"
        )
    for number, hog in enumerate(finding.hogs[:_NAMED], 1):
        found[f"holder_{number}"] = _hog(trace, hog)
    for number, call in enumerate(finding.calls[:_NAMED], 1):
        place = labels.place_label(trace.places[call.place])
        found[f"let_go_in_{number}"] = (
            f"{printable(call.call) or 'an unnamed call'} at {place}:"
            f" {human.count(call.waits, 'wait')}, {human.duration(call.lost_ns)}"
        )
    return found


def _thread(trace: Trace, index: int) -> str:
    return labels.thread_label(trace.threads[index])


def _hog(trace: Trace, hog: Hog) -> str:
    said = f"{_thread(trace, hog.thread)}: {human.duration(hog.lost_ns)}"
    if hog.places:
        place = hog.places[0].place
        said += f", most at {labels.place_label(trace.places[place])}"
        if text := trace.expressions.of(trace.places[place]).text:
            said += f": {text}"
    return said


def _victims(trace: Trace, finding: Finding) -> str:
    names = [_thread(trace, victim.thread) for victim in finding.victims]
    if not names:
        return _NOBODY
    more = finding.threads - 1
    return f"{names[0]} and {human.count(more, 'other thread')}" if more > 0 else names[0]


def _hogs(trace: Trace, finding: Finding) -> str:
    return _thread(trace, finding.hogs[0].thread) if finding.hogs else _NOBODY


def _lost(trace: Trace, finding: Finding) -> str:
    lost = human.duration(finding.lost_ns + finding.shared_ns)
    each = human.duration(round(finding.mean_ns))
    return (
        f"{_victims(trace, finding)} lost {lost} to {_hogs(trace, finding)}, {each} at a time"
        if finding.waits > 1
        else f"{_victims(trace, finding)} lost {lost} to {_hogs(trace, finding)}"
    )


def _turns(_trace: Trace, finding: Finding) -> str:
    threads = human.count(finding.threads, "thread")
    return f"{threads} waited {human.duration(finding.lost_ns + finding.shared_ns)} for each other"


def _healthy(_trace: Trace, finding: Finding) -> str:
    health = finding.health
    assert health is not None
    said = f"{human.count(health.acquires, 'acquire')}, {human.count(health.waits, 'wait')}"
    if not health.waits:
        return said
    return f"{said}, the longest {human.duration(health.longest_wait_ns)}"


_TITLES: Final[dict[Kind, Callable[[Trace, Finding], str]]] = {
    **dict.fromkeys(Kind, _lost),
    Kind.EQUALS: _turns,
    Kind.HEALTHY: _healthy,
}
