"""What would help, and by how much: predictions as rows of a table, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from giltrace.analysis.whatif.predict import AS_RECORDED, Prediction
from giltrace.wording.human import count, duration, share
from giltrace.wording.labels import Labels
from giltrace.wording.results import Results

_MISSED: Final = 0.1
"""A simulation that misses the recording itself by more than this tells little."""
_ALIKE: Final = 0.02
_NAMED: Final = 2


@dataclass(frozen=True, slots=True)
class Remedy:
    """One row: what the victim's cycle would be like.

    Attributes:
        name: what would be done.
        wait: for how long the victim would wait in each cycle.
        cycle: how long that would take.
        span: how far luck, and what cannot be seen, may take that; ``""`` if they do not.
        gain: how many times as fast; ``""`` for the recording itself.
        hogs: which part of the time those in the way would compute.
    """

    name: str
    wait: str
    cycle: str
    span: str
    gain: str
    hogs: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would help at one GIL.

    Attributes:
        title: whose cycles these are.
        hogs: who is in the way.
        rows: the recording first, then the remedies.
        notes: how far to trust it, in sentences.
    """

    title: str
    hogs: str
    rows: tuple[Remedy, ...]
    notes: tuple[str, ...]


def outlooks(results: Results) -> list[Outlook]:
    """What would help at each GIL for which remedies were played, and anybody waits."""
    return [
        _outlook(results, predictions)
        for predictions in results.predictions.values()
        if any(one.wait_ns for one in predictions)
    ]


def _outlook(results: Results, predictions: Sequence[Prediction]) -> Outlook:
    first, labels = predictions[0], results.labels
    hogs = _hogs(first, labels)
    unit = f"each of {count(first.cycles, 'iteration')} of" if first.cycles > 1 else "all of"
    return Outlook(
        title=f"What would help: predicted for {unit} {labels.thread(first.victim)}",
        hogs=hogs,
        rows=tuple(_remedy(one, labels) for one in predictions),
        notes=tuple(_notes(predictions)),
    )


def name_of(prediction: Prediction, labels: Labels) -> str:
    """What would be done, in words."""
    policy = prediction.policy
    if policy.switch_interval_ns is not None:
        return f"switch interval {duration(policy.switch_interval_ns)}"
    if policy.priorities:
        return "giltrace run (priorities)"
    if policy.elsewhere:
        return f"{_hogs(prediction, labels)} in another process"
    return "as recorded" if policy.gil else "Python without a GIL"


def _hogs(prediction: Prediction, labels: Labels) -> str:
    named = [labels.thread(thread) for thread in prediction.hogs]
    if len(named) > _NAMED:
        return f"{named[0]} and {len(named) - 1} others"
    return " and ".join(named)


def _remedy(one: Prediction, labels: Labels) -> Remedy:
    recorded = one.policy == AS_RECORDED
    kept = share(one.hog_recorded if recorded else one.hog_progress, 1)
    return Remedy(
        name=name_of(one, labels),
        wait=duration(one.wait_ns) if one.wait_ns else "-",
        cycle=duration(one.recorded_ns if recorded else one.cycle_ns),
        span=f"{duration(one.low_ns)} – {duration(one.high_ns)}" if _varies(one) else "",
        gain="" if recorded else _gain(one),
        # Who is answered at once has more to do, and leaves less.
        hogs=f"≥ {kept}" if one.lower_bound and one.hog_progress < one.hog_recorded else kept,
    )


def _varies(one: Prediction) -> bool:
    """Whether there is a range to tell of."""
    return one.policy != AS_RECORDED and one.high_ns - one.low_ns > _ALIKE * one.high_ns


def _gain(one: Prediction) -> str:
    """How many times as fast; a range where the time is a lower bound."""
    factor = _factor(one.recorded_ns, one.cycle_ns)
    return f"{_factor(one.recorded_ns, one.high_ns)} – {factor}" if one.lower_bound else factor


def _factor(before_ns: int, after_ns: int) -> str:
    factor = before_ns / max(1, after_ns)
    return f"{factor:.1f}x" if factor < 99.95 else f"{factor:,.0f}x"


def _notes(predictions: Sequence[Prediction]) -> list[str]:
    first = predictions[0]
    said = []
    if first.lower_bound:
        said.append(
            "How long the other side takes from a reply to its next request cannot be seen here. "
            "It counts as nothing in these times, and as much as is possible in the upper end of "
            "the ranges. If you know it: --think-ms MS."
        )
    window = next((note for note in first.notes if note.startswith("Only a window")), "")
    said += [window] if window else []
    missed = f"Played under its own rules, the recording is missed by {share(first.error, 1)}"
    said.append(f"{missed}: do not rely on this." if first.error > _MISSED else f"{missed}.")
    if any(_varies(one) for one in predictions):
        said.append("The ranges are those of luck in races for the GIL.")
    said.append(
        "In another process, and without a GIL, each thread is given a core of its own, and "
        "passing data costs nothing."
    )
    return said
