"""Each finding as a story: what happened, why, what it cost, what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from giltrace.analysis.findings.finding import Finding, Kind
from giltrace.model.text import printable
from giltrace.wording.human import count, duration, share, times
from giltrace.wording.phrases import Phrases, sentences
from giltrace.wording.results import Results

_MUCH: Final = 0.1
"""From this share on a part is worth a sentence."""
_WORTH: Final = 0.05
"""What lost less than this share of what the first finding lost is told in a line."""
_AT_LENGTH: Final = 3
_IDLE: Final = 0.5
_CALL_LIMIT: Final = 40
_SHORT_NS: Final = 500_000


@dataclass(frozen=True, slots=True)
class Story:
    """One finding in words. All but the title may be ``""``.

    Attributes:
        title: one sentence: what it is, who lost how much to whom.
        happened: what was seen.
        why: how the GIL's rules make that happen.
        cost: what was lost.
        todo: what helps.
        evidence: on what grounds this is said, and how sure it is.
    """

    title: str
    happened: str = ""
    why: str = ""
    cost: str = ""
    todo: str = ""
    evidence: str = ""

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Heading and text of all that follows the title."""
        parts = (
            ("What happened", self.happened),
            ("Why", self.why),
            ("What it cost", self.cost),
            ("What to do", self.todo),
            ("Evidence", self.evidence),
        )
        return [(head, text) for head, text in parts if text]


def chief_stories(results: Results) -> tuple[list[Story], list[Story]]:
    """The stories to tell at length, and those of which the title will do.

    The latter are other views of what the former have lost, or lost far less.
    """
    chief: list[Story] = []
    others: list[Story] = []
    most = max((finding.lost_ns for finding in results.findings), default=0)
    for finding in results.findings:
        matters = finding.lost_ns >= _WORTH * most and (finding.lost_ns or not most)
        (chief if matters and len(chief) < _AT_LENGTH else others).append(tell(results, finding))
    return chief, others


def tell(results: Results, finding: Finding) -> Story:
    """The story of a finding; where there are several GILs the title says which one it is about."""
    story = _TELLERS[finding.kind](Phrases(results, finding))
    if len(results.trace.gils) == 1:
        return story
    title = f"{story.title.removesuffix('.')} ({results.labels.gil(finding.gil)})."
    return Story(title, story.happened, story.why, story.cost, story.todo, story.evidence)


def _long_hold(say: Phrases) -> Story:
    finding, hog = say.finding, say.hog
    assert hog is not None
    longest = duration(finding.max_ns)
    return Story(
        title=f"Long hold: {say.victims} waited up to {longest} for {say.hogs} to let go.",
        happened=sentences(
            f"{say.victims} had to wait {say.often}: {say.long}.",
            f"{say.thread(hog.thread)} held the GIL{say.where}{_in_call(say)} and went on long "
            "after it had been asked to let go.",
        ),
        why=sentences(
            "Python code lets go within microseconds of such a request, but a call of C code that "
            "keeps the GIL does not hear it until it is over.",
            _running(say),
        ),
        cost=sentences(f"{say.lost}.", say.others),
        todo=sentences(
            _let_it_run(say)
            if hog.not_running_ns is not None and hog.not_running_ns >= _IDLE * hog.hold_ns
            else "Let the GIL go in that C code (Py_BEGIN_ALLOW_THREADS, nogil in Cython), give it "
            "less at a time, or call it in another process.",
            "A shorter switch interval does not help.",
        ),
        evidence=say.evidence,
    )


def _held_idle(say: Phrases) -> Story:
    return Story(
        title=f"Held idle: {say.hogs} held the GIL without running while {say.victims} waited.",
        happened=f"{say.victims} had to wait {say.often}, mostly for a thread that held the GIL"
        f"{say.where}{_in_call(say)}: {say.long}.",
        why=_running(say),
        cost=sentences(f"{say.lost}.", _counted_elsewhere(say), say.others),
        todo=_let_it_run(say),
        evidence=say.evidence,
    )


def _inversion(say: Phrases) -> Story:
    return Story(
        title=f"Priority inversion: {say.victims} lost {say.lost} behind {say.hogs}, "
        f"{_verb(say, 'which is', 'which are')} less urgent.",
        happened=f"{say.victims} had to wait {say.often} for threads of lower priority: "
        f"{say.long}.",
        why=f"{say.hogs} held the GIL{say.where}. A holder is asked to let go at once by a more "
        "urgent waiter, but lets go only between two steps of Python code; and who has waited for "
        "very long is not interrupted for a switch interval.",
        cost=sentences(f"{say.lost}.", _counted_elsewhere(say), say.others),
        todo="If these are long calls into C code, let the GIL go there, or make them in another "
        "process. If the recording has no policy in force, run the program under one: "
        "giltrace run --policy manual.",
        evidence=say.evidence,
    )


def _starvation(say: Phrases) -> Story:
    finding = say.finding
    beyond = share(finding.grounds.fitting_ns, finding.grounds.of_ns)
    return Story(
        title=f"Starvation: {say.victims} waited up to {duration(finding.max_ns)} for a turn.",
        happened=f"{say.victims} had to wait {say.often}, while others took several turns: "
        f"{say.long}.",
        why=f"Who gets a GIL that is let go is the first to come, not the first to wait. {beyond} "
        "of these waits is beyond one round, in which each waiter has a turn.",
        cost=sentences(f"{say.lost}.", say.others),
        todo="Let fewer threads use the GIL at a time: a smaller pool, or several processes.",
        evidence=say.evidence,
    )


def _convoy(say: Phrases) -> Story:
    finding = say.finding
    in_calls = f", in {say.calls}" if say.calls else ""
    interval = duration(finding.switch_interval_ns)
    rest = finding.overdue_ns / max(1, say.total_ns)
    return Story(
        title=f"Convoy: {say.victims} lost {say.lost} behind {say.hogs}.",
        happened=f"{say.victims} let go of the GIL only for moments{in_calls}, but {say.often} it "
        f"took long to get it back: {say.long}.",
        why=sentences(
            f"Each time {say.hogs} had taken it and computed{say.where}. A thread that computes "
            f"lets go when it is asked to, and a waiter asks after one switch interval "
            f"({interval}): {share(finding.interval_ns, say.total_ns)} of the lost time is that.",
            f"{share(rest, 1)} is what it took to be heard." if rest >= _MUCH else "",
        ),
        cost=_convoy_cost(say),
        todo=f"Start it with `giltrace run`, which lets threads go first that let go by themselves"
        f"{say.predicted(lambda policy: bool(policy.priorities))}. Or move what {say.hogs} "
        f"{_verb(say, 'computes', 'compute')} to another process"
        f"{say.predicted(lambda policy: bool(policy.elsewhere))}. "
        f"sys.setswitchinterval({_SHORT_NS / 1e9:g}) makes each wait shorter"
        f"{say.predicted(lambda policy: policy.switch_interval_ns == _SHORT_NS)}.",
        evidence=say.evidence,
    )


def _convoy_cost(say: Phrases) -> str:
    victim = say.finding.victims[0]
    cycle, text = victim.cycle, f"{say.lost}."
    if cycle is not None and cycle.iterations:
        call = f" with {printable(cycle.call, _CALL_LIMIT)}" if cycle.call else ""
        place = say.labels.place(cycle.place)
        at = f" at {place}" if place else ""
        each = duration(round(cycle.lost_ns / cycle.iterations))
        whose = "" if say.alone else f" of {say.thread(victim.thread)}"
        text = (
            f"{say.lost}: {each} in each of {count(cycle.iterations, 'iteration')}{whose}, which "
            f"begin{call}{at} and have {cycle.waits_per_iteration:.1f} such waits each."
        )
    return sentences(text, say.others)


def _equals(say: Phrases) -> Story:
    finding = say.finding
    interval = duration(finding.switch_interval_ns)
    threads = say.threads([victim.thread for victim in finding.victims], finding.threads)
    return Story(
        title=f"Contention of equals: {threads} compute and take turns.",
        happened=f"They had to wait {say.often}: {say.long}.",
        why="The GIL lets one thread compute at a time. The others wait as long as it does, and "
        f"take it away after one switch interval ({interval}); each waits for the others as they "
        "do for it. That is sharing, not a convoy.",
        cost=f"{say.lost}. With more threads it takes no less time, only more turns.",
        todo="Compute in processes (concurrent.futures.ProcessPoolExecutor), or on a Python that "
        "runs without a GIL.",
        evidence=say.evidence,
    )


def _ping_pong(say: Phrases) -> Story:
    finding, alternation = say.finding, say.finding.alternation
    assert alternation is not None
    threads = say.threads(sorted({
        *(victim.thread for victim in finding.victims), *(hog.thread for hog in finding.hogs[:2]),
    }))  # fmt: skip
    through = f" through {say.calls}" if say.calls else ""
    each = duration(alternation.latency_ns // max(1, alternation.times))
    return Story(
        title=f"Ping-pong: {threads} wake each other up in turns.",
        happened=f"{times(alternation.times).capitalize()} one of them woke the other{through} "
        "and was woken by it at once, "
        f"{alternation.per_second:,.0f} times a second while they were at it.",
        why="At each turn one thread lets go and the kernel has to wake the other up, which takes "
        f"{each}; nobody holds the GIL meanwhile.",
        cost=f"{duration(say.total_ns)} of waits, and {duration(alternation.latency_ns)} in which "
        "nobody held the GIL.",
        todo="Hand over more at a time, or let the thread that has the data do the work.",
        evidence=say.evidence,
    )


def _needless(say: Phrases) -> Story:
    finding = say.finding
    off_ns = sum(call.off_ns for call in finding.calls)
    waits = max(1, sum(call.waits for call in finding.calls))
    return Story(
        title=f"Needless releases: {count(finding.waits, 'wait')} came after calls that would not "
        "have blocked.",
        happened=f"{say.victims} let go of the GIL in {say.calls or 'short calls'}, which took "
        f"{duration(off_ns // waits)} on average, and had to wait for it: {say.long}.",
        why="CPython lets the GIL go around every call that may block, whether it blocks or not.",
        cost=sentences(f"{say.lost}.", _counted_elsewhere(say), say.others),
        todo="Make fewer and larger calls: send head and body of a message together, read ahead "
        "into a buffer. Each call less is a wait less.",
        evidence=say.evidence,
    )


def _contended(say: Phrases) -> Story:
    finding = say.finding
    held = finding.grounds.fitting_ns / max(1, finding.grounds.of_ns)
    if 2 * held >= 1:
        holder = "one of them" if say.hogs == "each other" else say.hogs
        why = f"For {share(held, 1)} of that time {holder} held the GIL{say.where}."
        todo = "Under Blame, giltrace report has the lines that hold the GIL meanwhile."
    else:
        why = (
            f"For {share(1 - held, 1)} of that time nobody held the GIL: the kernel was waking the "
            "waiter up, which takes long when all cores are busy."
        )
        todo = "Give the machine less to do at a time, or more cores."
    return Story(
        title=f"Contention: {say.victims} lost {say.lost} waiting for {say.hogs}.",
        happened=f"{say.victims} had to wait {say.often}: {say.long}. None of the patterns that "
        "giltrace knows explains these waits.",
        why=why,
        cost=sentences(f"{say.lost}.", say.others),
        todo=todo,
        evidence=say.evidence,
    )


def _healthy(say: Phrases) -> Story:
    health, recorded = say.finding.health, say.finding.grounds.recorded
    assert health is not None
    if health.waits:
        waited = (
            f"For {share(health.contention, 1)} of the time anybody waited for it: "
            f"{count(health.waits, 'wait')}, {duration(health.longest_wait_ns)} at most."
        )
    else:
        waited = "Nobody waited for it" + (": no other thread used it." if say.users == 1 else ".")
    if health.stalls:
        number = count(health.stalls, "wait")
        stalls = f"{number} looked like those of a convoy; that is too few to matter."
    else:
        stalls = "None of them looked like those of a convoy." if health.waits else ""
    caution = "" if recorded == 1 else f"But only {share(recorded, 1)} of the events are on record."
    return Story(
        title="No convoy was seen, but the record has gaps."
        if say.gaps
        else "No convoy: if this program is slow, the GIL is not why.",
        happened=sentences(
            f"The GIL was held {share(health.utilisation, 1)} of the time.", waited, stalls, caution
        ),
    )


def _in_call(say: Phrases) -> str:
    """`` in ctypes.call`` for the call in which the first hog let go in the end, if it is known."""
    hog = say.hog
    call = hog.places[0].call if hog and hog.places else 0
    return f", in {printable(say.call_label(call), _CALL_LIMIT)}" if call else ""


def _running(say: Phrases) -> str:
    """Whether the first hog ran while it held the GIL."""
    hog = say.hog
    if hog is None or hog.not_running_ns is None:
        return "Whether it computed or was blocked is not on record."
    part = hog.not_running_ns / max(1, hog.hold_ns)
    who = say.thread(hog.thread)
    if part < _IDLE:
        return f"{who} computed meanwhile: its CPU clock went on."
    said = f"{who} did not even run for {share(part, 1)} of it:"
    if hog.preempted_ns is None:
        return (
            f"{said} it was blocked in C code that keeps the GIL, or the kernel ran something else "
            "on its core (record --sched tells which)."
        )
    blocked_ns = max(0, hog.not_running_ns - hog.preempted_ns)
    preempted = f"the kernel ran something else on its core for {duration(hog.preempted_ns)}"
    blocked = f"it was blocked in C code that keeps the GIL for {duration(blocked_ns)}"
    if hog.preempted_ns < _MUCH * hog.not_running_ns:
        return f"{said} {blocked}."
    if blocked_ns < _MUCH * hog.not_running_ns:
        return f"{said} {preempted}."
    return f"{said} {preempted}, and {blocked}."


def _let_it_run(say: Phrases) -> str:
    """What helps against the one reason, or the other, or both."""
    let_go = "let the GIL go there."
    hog = say.hog
    if hog is None or hog.not_running_ns is None or hog.preempted_ns is None:
        return (
            f"If it blocks in C code that keeps the GIL, {let_go} If the machine has more to do "
            "than it has cores, give it less."
        )
    if 2 * hog.preempted_ns < hog.not_running_ns:
        return f"It blocks in C code that keeps the GIL: {let_go}"
    return (
        "The program's cores have more to do than they can: give them less, or let the program run "
        "on more of them."
    )


def _counted_elsewhere(say: Phrases) -> str:
    """That some of these waits are told in another story, too."""
    shared = say.finding.shared_ns
    if not shared:
        return ""
    if not say.finding.lost_ns:
        return "It is a part of what another finding has lost."
    return f"{duration(shared)} of it are told above, too."


def _verb(say: Phrases, one: str, many: str) -> str:
    return many if " and " in say.hogs or say.hogs == "the other threads" else one


_TELLERS: Final[dict[Kind, Callable[[Phrases], Story]]] = {
    Kind.LONG_HOLD: _long_hold,
    Kind.HELD_IDLE: _held_idle,
    Kind.INVERSION: _inversion,
    Kind.STARVATION: _starvation,
    Kind.CONVOY: _convoy,
    Kind.EQUALS: _equals,
    Kind.PING_PONG: _ping_pong,
    Kind.CONTENDED: _contended,
    Kind.NEEDLESS: _needless,
    Kind.HEALTHY: _healthy,
}
