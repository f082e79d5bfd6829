"""The one paragraph that explains a trace to someone who has never heard of the GIL's rules.

All it says is in `Facts`; this module only chooses the sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from giltrace.model import Trace
from giltrace.model.text import printable
from giltrace.report.facts import Endings, Facts, Meaning, Waiter
from giltrace.wording.human import count, duration, share, times

_NOTES: Final = 5
_NOTE_LIMIT: Final = 300


def explain(trace: Trace) -> str:
    """The paragraph about ``trace``: plain text, one line, thread names in backticks."""
    from giltrace.analysis import blame, summary
    from giltrace.report.gather import gather
    from giltrace.wording.labels import Labels

    rows = blame.table(trace)
    return paragraph(gather(trace, summary.summarise(trace), rows, Labels(trace)))


def paragraph(facts: Facts) -> str:
    """What is wrong with the recording first; then how long, who held, who waited, and what of it.

    Everything is printable, whatever the target called its threads.
    """
    return " ".join(_sentences(facts))


def _sentences(facts: Facts) -> Iterator[str]:
    yield from _notes(facts)
    yield _scene(facts)
    if facts.holder is None and facts.waiter is None:
        yield _nothing(facts)
        return
    yield _held(facts)
    if facts.waiter is None:
        yield _nobody_waited(facts)
        return
    yield _waited(facts.waiter, facts.gil_wall_ns)
    yield from _ended(facts.waiter, facts.switch_interval_ns)
    yield from _others(*facts.others)
    yield _meaning(facts, facts.waiter)


def _notes(facts: Facts) -> Iterator[str]:
    for note in facts.notes[:_NOTES]:
        text = printable(note.strip(), _NOTE_LIMIT)
        yield text if text.endswith((".", "!", "?")) else f"{text}."
    more = len(facts.notes) - _NOTES
    if more > 0:
        yield f"There {'is' if more == 1 else 'are'} {count(more, 'more note')} like these."


def _scene(facts: Facts) -> str:
    who = f"`{printable(facts.program)}`" if facts.program else "A program"
    where = f" on {printable(facts.python)}" if facts.python else ""
    crowd = count(facts.threads, "thread") if facts.threads else "no thread"
    if facts.processes > 1:
        crowd += f" in {facts.processes:,} processes"
    return f"{who} was recorded for {duration(facts.wall_ns)}{where}, with {crowd}."


def _nothing(facts: Facts) -> str:
    if not facts.gil_enabled:
        return "Whatever makes it slow, it is not the GIL."
    return "Nobody was seen to take or release the GIL, so there is nothing to explain."


def _held(facts: Facts) -> str:
    which = "The GIL"
    if facts.gils > 1:
        why = "the busiest" if facts.waiter is None else "waited for most"
        which = f"Of {facts.gils:,} GILs, that of {facts.gil} was {why}. It"
    verb = "seems to have been" if facts.inferred else "was"
    held = f"{which} {verb} held {share(facts.held_ns, facts.gil_wall_ns)} of the time"
    holder = facts.holder
    if holder is None:
        return f"{held}."
    part = f"{duration(holder.hold_ns)} ({share(holder.hold_ns, facts.gil_wall_ns)} of the time)"
    mostly = "mostly" if 2 * holder.hold_ns >= facts.held_ns else "longest"
    how = "all" if facts.gil_threads == 1 else mostly
    at = _at(holder.place, holder.place_ns, holder.hold_ns)
    return f"{held}, {how} by `{holder.name}`: {part}{at}."


def _at(place: str, part_ns: int, whole_ns: int) -> str:
    """Where, with as much confidence as one place deserves among several."""
    if not place:
        return ""
    if 10 * part_ns >= 9 * whole_ns:
        return f" at {place}"
    return f", mostly at {place}" if 2 * part_ns >= whole_ns else f", most often at {place}"


def _nobody_waited(facts: Facts) -> str:
    if facts.inferred:
        return "Who waited for it, and for how long, does not show in function calls."
    if facts.incomplete:
        return "Nobody is known to have waited for the GIL, but the record has gaps."
    who = "No other thread used the GIL, so nobody" if facts.gil_threads == 1 else "Nobody"
    return f"{who} ever waited for the GIL: if this program is slow, the GIL is not why."


def _waited(waiter: Waiter, wall_ns: int) -> str:
    total = f"{duration(waiter.wait_ns)} in all, {share(waiter.wait_ns, wall_ns)} of the time"
    if waiter.waits == 1:
        text = f"`{waiter.name}` waited once for the GIL, for {duration(waiter.wait_ns)}"
    else:
        text = (
            f"`{waiter.name}` waited {times(waiter.waits)} for the GIL, "
            f"{duration(waiter.wait_ns // waiter.waits)} each time on average "
            f"({total}; {duration(waiter.max_ns)} at worst)"
        )
    if not waiter.blamed_ns:
        return f"{text}."
    part = share(waiter.blamed_ns, waiter.wait_ns)
    if waiter.blamed is None:
        return f"{text}, and {part} of that time the GIL was free but not yet handed over."
    at = _at(waiter.blamed_place, waiter.blamed_place_ns, waiter.blamed_ns)
    return f"{text}, and {part} of that time the GIL was held by `{waiter.blamed}`{at}."


def _ended(waiter: Waiter, interval_ns: int) -> Iterator[str]:
    parts = list(_ways(waiter.endings, duration(interval_ns)))
    if len(parts) == 1 and waiter.waits > 1:
        number, way = parts[0]
        yield f"{'Both' if number == 2 else 'All'} of these waits {way}."
    elif parts and waiter.waits == 1:
        yield f"This wait {parts[0][1]}."
    elif parts:
        said = [f"{number:,} {way}" for number, way in parts]
        yield f"Of these waits, {', '.join(said[:-1])} and {said[-1]}."


def _ways(endings: Endings, interval: str) -> Iterator[tuple[int, str]]:
    ways = (
        (
            endings.forced,
            "ended because the holder was forced to let go "
            f"(a waiter asks for that after {interval})",
        ),
        (endings.voluntary, "ended because the holder let go by itself"),
        (endings.unknown, "ended in a way that cannot be proven"),
        (endings.unfinished, "never ended"),
    )
    return ((number, way) for number, way in ways if number)


def _others(threads: int, waits: int, wait_ns: int) -> Iterator[str]:
    if threads:
        who = "One other thread" if threads == 1 else f"{threads:,} other threads"
        yield f"{who} waited {times(waits)} as well, {duration(wait_ns)} in all."


def _meaning(facts: Facts, waiter: Waiter) -> str:
    interval = duration(facts.switch_interval_ns)
    holder = f"`{waiter.blamed}`" if waiter.blamed else "another thread"
    match facts.meaning:
        case Meaning.CONVOY:
            return (
                f"This is the convoy effect: `{waiter.name}` needs the GIL only for moments, but "
                f"whenever it has let go of it, {holder} takes it and computes until it is made "
                f"to hand it back, about one switch interval ({interval}) later. Move that "
                "computing to another process; a shorter switch interval "
                "(sys.setswitchinterval) makes each such wait shorter."
            )
        case Meaning.LONG_HOLD:
            return _long_hold(facts)
        case Meaning.TURNS:
            return (
                f"`{waiter.name}` computes as well, and the GIL lets only one thread compute at a "
                f"time: they take turns of about {interval}. More threads do not make this faster; "
                "processes would."
            )
        case Meaning.MILD:
            return "That is little: if this program is slow, the GIL is hardly why."
        case Meaning.CONTENDED if waiter.blamed is None:
            return (
                f"What took long is the hand-off itself: the kernel has to wake `{waiter.name}` "
                "up, which is slow when all cores are busy."
            )
        case Meaning.CONTENDED:
            return (
                f"The two compete for the GIL: while {holder} holds it, `{waiter.name}` "
                "stands still."
            )


def _long_hold(facts: Facts) -> str:
    hold = facts.long_hold
    if hold is None:
        return ""
    at = f" (it did at {hold.place})" if hold.place else ""
    return (
        f"`{hold.name}` once kept the GIL for {duration(hold.overdue_ns)} after it had been asked "
        f"to let go{at}: a single call that long, such as C code that keeps the GIL, stops every "
        "other Python thread, and a shorter switch interval does not help."
    )
