"""Who holds the GIL, inferred in the profile functions of all threads; see `portable`.

The interpreter may switch threads within these functions as anywhere else. What they share is
written by one thread at a time, which has the claim; a thread that does not get it leaves word that
it was there, for whoever has. Nobody waits, but who ends the recording.

No syntax, and nothing from the standard library, beyond Python 3.9.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from types import FrameType

from giltrace.runtime import (
    options,
    portable_claim,
    portable_interpreters,
    portable_log,
    portable_names,
    portable_places,
    portable_ring,
    portable_signals,
    portable_slots,
    portable_threads,
)
from giltrace.runtime.portable_claim import OUR_ERRORS, Claim
from giltrace.runtime.portable_threads import Thread

TYPE_CHECKING = False  # type checkers take it for true; the typing module is not worth its price
if TYPE_CHECKING:
    from collections.abc import Callable

# No call that took less has blocked for certain.
_LONG_NS = 50_000
# Who waits for the GIL computes a little, too; and whoever had it, had some of the time.
_LEAST_RUN_NS = 50_000
_LEAST_RUN_SHARE = 10
# However little that is of the time, on a machine with much else to do.
_MUCH_RUN_NS = 1_000_000
# How often to look at what changes seldom.
_LOOK_NS = 50_000_000
_LOOK_FAR_NS = 1_000_000_000
# Coroutines of a C extension may enter functions and never leave them.
_DEEPEST = 100_000

# For how many times `_PAUSE_S` the end waits for a thread in the middle of writing.
_PATIENCE = 1000
_PAUSE_S = 0.001

_MODULES = (
    *(portable_claim, portable_log, portable_names, portable_places),
    *(portable_ring, portable_signals, portable_slots, portable_threads),
)
_OUR_GLOBALS = frozenset(map(id, (globals(), *map(vars, _MODULES))))


class Switches:
    """The recording of one process.

    Attributes:
        current: the thread that was seen last; None before the beginning and after the end.
    """

    def __init__(self, session: str, asked: dict[str, int], about: bytes, size: int) -> None:
        """Make the ring.

        Args:
            session: the folder for it.
            asked: the options in there.
            about: facts about this process, as JSON.
            size: of the ring in bytes.

        Raises:
            OSError: see `portable_ring.Ring`.
        """
        now = time.monotonic_ns()
        self._pid = os.getpid()
        # Unique also when this process has been recorded before it became another program.
        path = os.path.join(session, f"{self._pid}.{now}.portable")
        self._ring = portable_ring.Ring(path, about, now, size)
        self._log = portable_log.Log(self._ring)
        self._stacks = asked.get("stacks", 1)
        self._places = portable_places.choose(self._log.names, self._stacks, _OUR_GLOBALS)
        self._recorder = asked.get("recorder", 0)
        self._calls = asked.get("calls", 1) > 0
        self._numbers = itertools.count()
        self._wanting: list[Thread] = []
        self._claim = Claim(_OUR_GLOBALS, self._fail)
        self._missed: list[tuple[Thread, int]] = []
        self._due = now + _LOOK_NS
        self._due_far = now
        self._first = self._profile_new_thread()
        self.current: Thread | None = None

    # ------------------------------------------------------------------ profile functions

    def begin(self) -> None:
        """Record this thread, which holds the GIL, and those that `threading` will start."""
        self._main = me = self._meet()
        self._log.begin(me.index, me.since)
        self.current = me
        portable_interpreters.watch(self._cede)
        portable_signals.keep_import_locks()
        threading.setprofile(self._first)
        sys.setprofile(self._profile(me))

    def _profile_new_thread(self) -> Callable[..., None]:
        def giltrace_thread(frame: FrameType, event: str, arg: object) -> None:
            if self.current is None:
                portable_slots.vacate()
                return
            profile = self._profile(self._meet())
            sys.setprofile(profile)
            profile(frame, event, arg)

        return portable_slots.mark(giltrace_thread)

    def _profile(self, me: Thread) -> Callable[..., None]:
        make = self._profile_leaving if self._places.left_by_threads else self._profile_shown
        profile = make(me)
        profile.thread = me  # type: ignore[attr-defined]
        return profile

    def _profile_shown(self, me: Thread) -> Callable[..., None]:
        # Called at each call and each return in this thread: what can be done elsewhere, is.
        clock = time.monotonic_ns

        def giltrace_profile(frame: FrameType, event: str, arg: object) -> None:
            if self.current is not me:
                self._notice(me)
            if event == "call":
                me.call = None
            elif event == "c_call":
                me.since = now = clock()
                me.call = arg
                if now >= self._due:
                    self._exclusively(me, self._look_after)
            elif event != "return":
                now = clock()
                if now - me.since >= _LONG_NS and me.call is not None:
                    self._exclusively(me, self._come_back, frame)
                me.since = now
                me.call = None

        return portable_slots.mark(giltrace_profile)

    def _profile_leaving(self, me: Thread) -> Callable[..., None]:
        """The same for a thread that leaves word of where it is."""
        clock = time.monotonic_ns
        functions, stacks = me.functions, self._stacks

        def giltrace_profile(frame: FrameType, event: str, arg: object) -> None:
            if self.current is not me:
                self._notice(me)
            if event == "call":
                me.call = None
                functions.append(frame.f_code)
            elif event == "c_call":
                me.since = now = clock()
                if now >= self._due:
                    self._exclusively(me, self._look_after)
                me.at = frame.f_code, frame.f_lasti
                if stacks > 1:
                    me.callers = portable_threads.callers(frame, stacks - 1)
                # Last: until then it can only be made to let go.
                me.call = arg
            elif event == "return":
                if functions:
                    functions.pop()
            else:
                now = clock()
                if now - me.since >= _LONG_NS and me.call is not None:
                    self._exclusively(me, self._come_back, frame)
                me.since = now
                me.call = None

        return portable_slots.mark(giltrace_profile)

    # ------------------------------------------------------------------ what is inferred

    def _notice(self, me: Thread) -> None:
        """``me`` runs, and another thread was seen last, or the recording is over."""
        if self.current is None:
            portable_slots.vacate()
            return
        if not self._exclusively(me, self._switch):
            self._missed.append((me, time.monotonic_ns()))
            # It may have been given back just before that, by someone who did not see it.
            self._exclusively(me, self._switch)

    def _exclusively(self, me: Thread, action: Callable[..., None], *args: object) -> bool:
        """Do something that writes, and see to those who could not meanwhile."""
        done = self._claim.exclusively(me, action, *args)
        if self._missed and self.current is not None:
            self._claim.exclusively(me, self._catch_up)
        return done

    def _catch_up(self, me: Thread) -> None:
        """Others ran, while a thread that had the claim was made to let the GIL go."""
        while self._missed:
            other, now = self._missed.pop(0)
            before = self.current
            if before is None or before is other or other is me:
                continue
            self._log.hand_over(
                before.index,
                self._places.of(before, self._places.look()),
                now,
                other.index,
                now,
            )
            if before is not me:
                self._want(before)
            self._resume(other, now)
        self._switch(me)

    def _switch(self, me: Thread) -> None:
        """The GIL has been handed over from the thread that was seen last to ``me``."""
        other = self.current
        if other is None or other is me:
            return
        now = time.monotonic_ns()
        frames = self._places.look()
        if self._places.has_ended(other, frames):
            # The last that it called belongs to `threading`, to say so.
            self._hand_over(other, [], me, now, frames)
        elif self._places.is_calling(other, frames):
            self._hand_over(other, self._places.of(other, frames), me, now, frames)
        else:
            place = self._places.of(other, frames)
            self._log.hand_over(other.index, place, now, me.index, now)
            self._want(other)
        me.since, me.call = now, None
        self._resume(me, now)

    def _come_back(self, me: Thread, frame: FrameType) -> None:
        """A call took long, with nobody else in sight: it has let go if it is one that blocks."""
        if self.current is not me or me.call is None:
            return
        now = time.monotonic_ns()
        long_ns = self._log.names.long_ns(me.call)
        if long_ns and now - me.since >= long_ns:
            frames = self._places.look() if self._wanting else {}
            self._hand_over(me, self._places.own(frame), me, now, frames)

    def _hand_over(
        self,
        one: Thread,
        place: list[int],
        me: Thread,
        now: int,
        frames: dict[int, FrameType],
    ) -> None:
        """``one`` let go by itself, in its last call or after it; ``me`` has the GIL now."""
        released, call = one.since, 0
        if place and self._calls and one.call is not None:
            call = self._log.names.call(one.call)
        acquired = now
        if me.wants:
            # It has taken the GIL as soon as it was free, and computed until now.
            acquired = max(released, now - me.ran_ns())
        elif self._wanting:
            between = self._who_ran(now - released)
            if between is not None:
                self._log.hand_over(one.index, place, released, between.index, released, call=call)
                one, place, released, call = between, self._places.of(between, frames), now, 0
        self._log.hand_over(one.index, place, released, me.index, acquired, call=call)

    def _resume(self, thread: Thread, now: int) -> None:
        """It has the GIL."""
        if thread.wants:
            thread.wants = False
            self._wanting.remove(thread)
        self.current = thread
        if now - thread.told_ns >= _LOOK_NS:
            self._tell(thread, now)

    def _want(self, thread: Thread) -> None:
        """It was made to let go."""
        thread.ran_ns()
        thread.wants = True
        self._wanting.append(thread)

    def _who_ran(self, gap: int) -> Thread | None:
        """Who had the GIL all the while without calling a thing: it must have computed."""
        share = min(gap // _LEAST_RUN_SHARE, _MUCH_RUN_NS)
        found, most = None, max(_LEAST_RUN_NS, share)
        for thread in self._wanting[:]:
            ran = thread.ran_ns()
            if ran < 0:
                self._wanting.remove(thread)
            elif ran >= most:
                found, most = thread, ran
        return found

    # ------------------------------------------------------------------ beside the events

    def _meet(self) -> Thread:
        """This thread, seen for the first time."""
        now = time.monotonic_ns()
        me = Thread(next(self._numbers), now)
        self._tell(me, now)
        return me

    def _tell(self, me: Thread, now: int) -> None:
        """Tell the name of a thread, unless it was told."""
        me.told_ns = now
        name = me.name()
        # One that is about to end is no more known to `threading`.
        if name != me.told and (name or me.told is None):
            me.told = name
            self._log.thread(me.index, me.tid, now, name)

    def _look_after(self, me: Thread) -> None:
        """Now and then: whether to go on, and what else there is to say."""
        if self.current is None:
            return
        now = time.monotonic_ns()
        self._due = now + _LOOK_NS
        self._tell(me, now)
        if len(me.functions) > _DEEPEST:
            me.functions.clear()
        if self._ring.is_off() or not options.is_alive(self._recorder):
            self._end(me)
        elif now >= self._due_far:
            self._due_far = now + _LOOK_FAR_NS
            self._look_for_strangers()

    def _look_for_strangers(self) -> None:
        hook = portable_slots.of_new_threads()
        if hook is not self._first:
            slot = "for new threads (threading.setprofile)"
            unseen = "threads do that were started since then"
            self._log.note(portable_slots.taken(hook, slot, unseen))
        if self._places.are_strange():
            self._log.note(
                "some threads were not started by the threading module: what they do is not seen"
            )

    # ------------------------------------------------------------------ the end

    def _cede(self) -> None:
        """Another interpreter is about to be created (see `portable_interpreters`)."""
        if self.current is not None:
            self._log.note(
                "another interpreter was created: beside it the frames of threads cannot be looked "
                "at safely, so that this process was recorded no further"
            )
            self.stop()

    def stop(self) -> None:
        """End the recording, and take the profile functions back."""
        profile = sys.getprofile()
        if portable_slots.is_ours(profile):
            sys.setprofile(None)  # or this very function would be seen, too
        me = self._main
        if threading.get_ident() != me.ident:
            me = getattr(profile, "thread", None) or self._meet()
        tries = 0
        while not self._claim.exclusively(me, self._stop, profile):
            time.sleep(_PAUSE_S)
            tries += 1
            if tries >= _PATIENCE:
                self._claim.revoke()  # who has it will not give it back any more

    def abandon(self) -> None:
        """In the child of a fork: forget about the recording, which is the parent's."""
        self.current = None
        self._restore()
        self._ring.close()

    def _stop(self, me: Thread, profile: object) -> None:
        # PyPy itself empties the slot at the end of the program, when there is no function left.
        at_end = profile is None and sys.implementation.name == "pypy" and not me.functions
        if not portable_slots.is_ours(profile) and not at_end:
            slot = f"(sys.setprofile) of {me.told}"
            self._log.note(portable_slots.taken(profile, slot, "that thread did since then"))
        if self.current is not None:
            self._switch(me)
            self._end(me)

    def _end(self, holder: Thread) -> None:
        self.current = None
        self._log.end(holder.index, time.monotonic_ns())
        self._restore()
        self._ring.close()

    def _restore(self) -> None:
        """Take back what is not of one thread alone. Other threads do so at their next call."""
        if portable_slots.of_new_threads() is self._first:
            threading.setprofile(None)
        portable_interpreters.unwatch()
        portable_signals.drop_import_locks()
        portable_slots.vacate()

    def _fail(self, error: Exception) -> None:
        """Give up, and say so if there is a way to."""
        holder, self.current = self.current, None
        try:
            self._log.note(f"the recording of this process has failed: {error!r}")
            if holder is not None:
                self._end(holder)
        except OUR_ERRORS:
            pass
