"""What if the GIL were handed over by other rules? Remedies, played on what was recorded.

A prediction is a simulation of one GIL with the demands that the recording shows: see
docs/explanation/what-if.md for what is in it and what is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from giltrace.analysis.whatif.play import play
from giltrace.analysis.whatif.terms import Luck, Outcome, Policy, Workload
from giltrace.analysis.whatif.work import workload
from giltrace.model.trace import Trace

AS_RECORDED: Final = Policy("as recorded")
"""The rules of the recording: how far this is from it says how far the others can be trusted."""

_SHORT_INTERVAL_NS: Final = 500_000
_NO_GIL_NOTE: Final = (
    "Every thread is given a core of its own: how many there are is not looked at."
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a policy would do to the thread that waits most.

    A *cycle* is one round of that thread's work: from the end of one receive that waits for the
    outside world to the end of the next. Where it does nothing again and again, all that was
    recorded of it is one cycle.

    Attributes:
        policy: the rules.
        gil: index into ``trace.gils``.
        victim: the thread that waits most, index into ``trace.threads``.
        hogs: the threads that are in its way.
        cycles: how many were recorded.
        recorded_ns: the time of one in the recording.
        cycle_ns: the time of one under the policy, if races go as they went in the recording.
        low_ns: the same, if it always wins the race for the GIL when it was off it for a moment,
            and what could not be seen of the outside world took no time.
        high_ns: the same, if it never does, and that took as long as is possible.
        ratio: ``cycle_ns`` over ``recorded_ns``: what it takes to predict milliseconds per request
            from measured ones.
        wait_ns: how long the victim waits for the GIL in each cycle.
        hog_recorded: the GIL time that the hogs got per second of the recording.
        hog_progress: the same under the policy; more than 1 if they run in parallel.
        error: by which share of it a simulation of the recording itself misses ``recorded_ns``.
        outcome: all threads.
        notes: what whoever reads this has to be told, in sentences.
        lower_bound: ``cycle_ns`` is the least that it can be: how long the outside world takes to
            answer could not be seen, so it is taken to answer at once.
    """

    policy: Policy
    gil: int
    victim: int
    hogs: tuple[int, ...]
    cycles: int
    recorded_ns: int
    cycle_ns: int
    low_ns: int
    high_ns: int
    ratio: float
    wait_ns: int
    hog_recorded: float
    hog_progress: float
    error: float
    outcome: Outcome
    notes: tuple[str, ...] = ()
    lower_bound: bool = False


def remedies(
    trace: Trace, *, gil: int | None = None, think_ns: int | None = None
) -> list[Prediction]:
    """Predict what the usual remedies would do for a GIL; the recording itself, played, is first.

    Args:
        trace: the trace.
        gil: index into ``trace.gils``; None for the one that was waited for most.
        think_ns: how long the outside world takes to answer, if that is known.

    Returns:
        Nothing if nobody waited for that GIL: there is nothing to remedy.
    """
    gil = worst_gil(trace) if gil is None else gil
    if gil is None:
        return []
    load = workload(trace, gil, think_ns=think_ns)
    if all(work.thread != load.victim for work in load.works):
        return []
    return predict(trace, load, [AS_RECORDED, *_usual(load)])


def predict(trace: Trace, load: Workload, policies: list[Policy]) -> list[Prediction]:
    """Predict what some policies would do to a workload of the trace.

    Args:
        trace: the trace.
        load: what `workload` found in it; its victim must be a thread.
        policies: the rules to try.
    """
    recorded_ns = (load.end_ns - load.start_ns) // load.cycles
    baseline_ns = play(load, AS_RECORDED).wall_ns // load.cycles
    error = abs(baseline_ns - recorded_ns) / max(1, recorded_ns)
    hog_recorded = _recorded_progress(trace, load)
    return [
        _prediction(load, policy, recorded_ns, error=error, hog_recorded=hog_recorded)
        for policy in policies
    ]


def _prediction(
    load: Workload, policy: Policy, recorded_ns: int, *, error: float, hog_recorded: float
) -> Prediction:
    outcomes = {luck: play(load, policy, luck=luck) for luck in Luck}
    cycles = [outcome.wall_ns // load.cycles for outcome in outcomes.values()]
    outcome = outcomes[Luck.RECORDED]
    hogs = [thread for thread in outcome.threads if thread.thread in load.hogs]
    return Prediction(
        policy=policy,
        gil=load.gil,
        victim=load.victim,
        hogs=load.hogs,
        cycles=load.cycles,
        recorded_ns=recorded_ns,
        cycle_ns=cycles[0],
        low_ns=min(cycles),
        high_ns=max(cycles),
        ratio=cycles[0] / max(1, recorded_ns),
        wait_ns=outcome.of(load.victim).wait_ns // load.cycles,
        hog_recorded=hog_recorded,
        hog_progress=sum(hog.progress for hog in hogs),
        error=error,
        outcome=outcome,
        notes=load.notes if policy.gil else (*load.notes, _NO_GIL_NOTE),
        lower_bound=load.unseen,
    )


def worst_gil(trace: Trace) -> int | None:
    """The GIL that threads waited for longest, all of them together; None if nobody waited."""
    waited = [int(trace.waits.ns[trace.waits_of(gil.index)].sum()) for gil in trace.gils]
    return int(np.argmax(waited)) if any(waited) else None


def automatic(load: Workload) -> dict[int, int]:
    """Priorities as the automatic policy gives them: who lets go by itself is urgent."""
    return {
        work.thread: 1
        for work in load.works
        if not work.endless and sum(work.demand) <= len(work.demand) * load.interval_ns
    }


def _usual(load: Workload) -> Iterator[Policy]:
    """The remedies that anybody would think of."""
    for interval_ns in dict.fromkeys((load.interval_ns // 5, _SHORT_INTERVAL_NS)):
        if 0 < interval_ns < load.interval_ns:
            yield Policy(f"switch interval {interval_ns / 1e6:g} ms", interval_ns)
    yield Policy("priorities, automatic", priorities=automatic(load))
    if load.hogs:
        yield Policy("computing in another process", elsewhere=frozenset(load.hogs))
    yield Policy("no GIL", gil=False)


def _recorded_progress(trace: Trace, load: Workload) -> float:
    """The GIL time of the hogs per time of the window."""
    part = trace.holds_of(load.gil)
    start = np.maximum(trace.holds.start[part], load.start_ns)
    end = np.minimum(trace.holds.end[part], load.end_ns)
    mine = np.isin(trace.holds.thread[part], load.hogs)
    held = int(np.maximum(end - start, 0)[mine].sum())
    return held / max(1, load.end_ns - load.start_ns)
