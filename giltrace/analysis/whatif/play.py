"""A simulation of one GIL: what threads want from it, played under other rules.

It does what CPython's ``take_gil`` and ``drop_gil`` do. A waiter waits in rounds of one switch
interval, and asks for the GIL at the end of a round in which it did not change hands; the holder
lets go at its next check, and then stays away until somebody else has taken the GIL. Whoever lets
go signals one waiter, which takes some time to wake up; until then the GIL is free, and whoever
comes first has it, the very thread that let go included.
"""

from __future__ import annotations

import heapq
from enum import IntEnum

import numpy as np

from giltrace.analysis.summary import percentile
from giltrace.analysis.whatif.terms import (
    SHORT_NS,
    Luck,
    Outcome,
    Policy,
    Race,
    ThreadOutcome,
    Work,
    Workload,
)


def play(
    load: Workload, policy: Policy, *, luck: Luck = Luck.RECORDED, holds: bool = False
) -> Outcome:
    """Play a workload under a policy.

    It ends when the victim is done; without one, or when that never comes, when nobody wants
    anything more. Computations that the recording did not see the end of go on until then.

    Args:
        load: what the threads want.
        policy: the rules.
        luck: how races go.
        holds: keep who held the GIL when.
    """
    players = [_Player(work, load, policy, luck) for work in load.works]
    table = _Table(players, load, policy, luck, log=holds)
    alone = [p for p in players if not policy.gil or p.thread in policy.elsewhere]
    if policy.gil:
        table.run()
    wall_ns = table.now
    suffers = any(p.thread == load.victim for p in players)
    first = [p for p in alone if p.thread == load.victim or not (suffers or p.work.endless)]
    wall_ns = max([wall_ns, *(player.alone(None) for player in first)])
    for player in alone:
        if player not in first:
            player.alone(wall_ns)
    return Outcome(wall_ns, tuple(p.outcome(wall_ns) for p in players), tuple(table.log))


class _Player:
    """A thread: where it is in its work, and what it has had so far."""

    __slots__ = (
        "asked", "awake", "check_ns", "done_at", "held", "late", "left", "luck", "origin", "phase",
        "return_ns", "saved", "thread", "token", "urgency", "waits", "work",
    )  # fmt: skip

    def __init__(self, work: Work, load: Workload, policy: Policy, luck: Luck) -> None:
        self.work = work
        self.thread = work.thread
        self.luck = luck
        self.late = work.late if policy.as_recorded or luck is Luck.BAD else []
        self.check_ns = load.timings.check_of(work.thread)
        self.return_ns = load.timings.return_of(work.thread)
        self.urgency = policy.priorities.get(work.thread, 0)
        self.phase = 0
        self.left = work.demand[0]
        self.origin = 0
        self.held = 0
        self.waits: list[int] = []
        self.asked = -1  # since when it waits; -1 if it does not
        self.awake = False  # it waits, but has been signalled and is about to look
        self.saved = 0  # how often the GIL had changed hands when this round began
        self.token = 0  # whatever was planned for it before it last changed its mind is void
        self.done_at = -1

    @property
    def unending(self) -> bool:
        """It computes for as long as anybody looks."""
        return self.work.endless and self.phase == len(self.work.demand) - 1

    def advance(self, now: int) -> int:
        """Its demand is met: for how long it is off the GIL now."""
        work, phase = self.work, self.phase
        off = work.off[phase]
        if work.think[phase] >= 0:
            think = work.think[phase]
            if work.bound[phase] >= 0 and self.luck is Luck.BAD:
                think = work.bound[phase]
            if self.late:
                think += self.late[phase]
            off = max(off, self.origin + think - now)
        if work.sends[phase]:
            self.origin = now
        self.phase += 1
        if self.phase < len(work.demand):
            self.left = work.demand[self.phase]
        else:
            self.done_at = now + off
        return off

    def alone(self, until: int | None) -> int:
        """Do everything without a GIL, until a time or the end; return when that is."""
        now = self.work.start
        while self.done_at < 0 and (until is None or now < until):
            needed = self.left
            if until is not None and (self.unending or now + needed > until):
                needed = until - now
            self.held += needed
            now += needed
            if until is not None and now >= until:
                break
            now += self.advance(now)
        return now

    def outcome(self, wall_ns: int) -> ThreadOutcome:
        """How it fared until ``wall_ns``."""
        end = wall_ns if self.done_at < 0 else min(self.done_at, wall_ns)
        span = max(0, end - self.work.start)
        waits = [*self.waits, wall_ns - self.asked] if 0 <= self.asked < wall_ns else self.waits
        total = sum(waits)
        return ThreadOutcome(
            thread=self.thread,
            hold_ns=self.held,
            phases=self.phase,
            waits=len(waits),
            wait_ns=total,
            wait_mean_ns=total // len(waits) if waits else 0,
            wait_p99_ns=percentile(np.sort(np.array(waits, np.int64)), 99) if waits else 0,
            wall_ns=span,
            progress=self.held / span if span else 0.0,
            lost=min(1.0, total / span) if span else 0.0,
        )


class _Event(IntEnum):
    ASK = 0
    WAKE = 1
    TIMEOUT = 2
    DROP = 3
    LET_GO = 4
    END = 5


class _Table:
    """The GIL, everyone who wants it, and what happens next."""

    def __init__(
        self, players: list[_Player], load: Workload, policy: Policy, luck: Luck, *, log: bool
    ) -> None:
        self.now = 0
        self.log: list[tuple[int, int, int]] = []
        self._logging = log
        self._luck = luck
        self._victim = load.victim
        self._round_ns = load.timings.timer_ns + (policy.switch_interval_ns or load.interval_ns)
        self._handoff_ns = load.timings.handoff_ns
        self._wake_ns = load.timings.wake_ns
        self._players = [p for p in players if p.thread not in policy.elsewhere]
        self._finite = sum(not p.work.endless for p in self._players)
        self._events: list[tuple[int, int, _Event, _Player, int]] = []
        self._planned = 0
        self._waiters: list[_Player] = []
        self._returning: list[_Player] = []  # forced out, and not asking again yet
        self._dropped: _Player | None = None  # forced out, and nobody has taken the GIL yet
        self._holder: _Player | None = None
        self._last: _Player | None = None
        self._favoured: _Player | None = None  # won the race, and will be back before the others
        self._since = 0
        self._tenure = 0
        self._switches = 0
        self._requested = False
        for player in self._players:
            self._plan(player.work.start, _Event.ASK, player, player.token)

    def run(self) -> None:
        """Until the victim is done, or nothing more happens."""
        act = {
            _Event.ASK: self._ask,
            _Event.WAKE: self._wake,
            _Event.TIMEOUT: self._timeout,
            _Event.DROP: self._drop,
            _Event.LET_GO: self._let_go,
        }
        events = self._events
        while events and self._finite:
            now, _, event, player, token = heapq.heappop(events)
            holders = event in (_Event.DROP, _Event.LET_GO)
            if token != (self._tenure if holders else player.token):
                continue
            self.now = now
            if event is _Event.END:
                self._finite -= 1
                if player.thread == self._victim:
                    break
            else:
                act[event](player)
        if self._holder is not None:
            self._end_hold(self._holder)

    def _plan(self, when: int, event: _Event, player: _Player, token: int) -> None:
        self._planned += 1
        heapq.heappush(self._events, (when, self._planned, event, player, token))

    # ------------------------------------------------------------------ take_gil

    def _ask(self, player: _Player) -> None:
        """It wants the GIL now."""
        returning = player in self._returning
        if returning:
            self._returning.remove(player)
        away = self._favoured is not None and self._favoured is not player
        if self._holder is None and not (returning and away):
            self._acquire(player)
            return
        player.asked = self.now
        self._waiters.append(player)
        self._begin_round(player)

    def _begin_round(self, player: _Player) -> None:
        player.awake = False
        player.saved = self._switches
        player.token += 1
        self._plan(self.now + self._round_ns, _Event.TIMEOUT, player, player.token)
        if self._holder is not None and player.urgency > self._holder.urgency:
            self._request()

    def _wake(self, player: _Player) -> None:
        """It was signalled, and has a look."""
        if self._holder is None:
            self._acquire(player)
        else:
            self._begin_round(player)

    def _timeout(self, player: _Player) -> None:
        """Its round is over."""
        if self._holder is None:
            self._acquire(player)
            return
        if self._switches == player.saved:
            self._request()
        self._begin_round(player)

    def _request(self) -> None:
        if not self._requested and self._holder is not None:
            self._requested = True
            heeded = self.now + self._holder.check_ns
            self._plan(heeded, _Event.DROP, self._holder, self._tenure)

    def _acquire(self, player: _Player) -> None:
        if player.asked >= 0:
            self._waiters.remove(player)
            player.waits.append(self.now - player.asked)
            player.asked = -1
        player.awake = False
        player.token += 1
        self._switches += self._last is not player
        self._last = self._holder = player
        self._favoured = None
        self._since = self.now
        self._tenure += 1
        self._requested = False
        if not player.unending:
            self._plan(self.now + player.left, _Event.LET_GO, player, self._tenure)
        if (dropped := self._dropped) is not None:
            self._dropped = None
            self._plan(self.now + dropped.return_ns, _Event.ASK, dropped, dropped.token)

    # ------------------------------------------------------------------ drop_gil

    def _end_hold(self, player: _Player) -> None:
        player.held += self.now - self._since
        if not player.unending:
            player.left -= self.now - self._since
        if self._logging:
            self.log.append((player.thread, self._since, self.now))
        self._holder = None
        self._tenure += 1

    def _drop(self, player: _Player) -> None:
        """It was asked to let go, and has come to a check."""
        if not player.unending and self.now - self._since >= player.left:
            self._let_go(player)
            return
        self._end_hold(player)
        self._dropped = player
        self._returning.append(player)
        self._signal(self.now + self._handoff_ns)

    def _let_go(self, player: _Player) -> None:
        """It lets go by itself."""
        phase = player.phase
        self._end_hold(player)
        off = player.advance(self.now)
        back = self.now + off
        race = self._race(player.work.race[phase], off) if player.done_at < 0 else Race.NONE
        if race is Race.LOST:
            recorded = player.work.race[phase] == Race.LOST
            taken = player.work.latency[phase] if recorded else self._wake_ns
            self._signal(self.now + min(taken, off), anyone=True)
        elif race is Race.WON:
            self._favoured = player
        event = _Event.ASK if player.done_at < 0 else _Event.END
        self._plan(back, event, player, player.token)
        if race is Race.WON:
            # Who is signalled has a look too late, and waits for another round.
            self._signal(back)
        elif race is Race.NONE:
            self._signal(self.now + self._wake_ns)

    def _race(self, recorded: int, off: int) -> Race:
        """How the race after this release goes; NONE to let latencies decide."""
        if not self._waiters and not self._returning:
            return Race.NONE
        if self._luck is not Luck.RECORDED and off <= SHORT_NS:
            return Race.WON if self._luck is Luck.GOOD else Race.LOST
        return Race.NONE if recorded == Race.WON and off > SHORT_NS else Race(recorded)

    def _signal(self, when: int, *, anyone: bool = False) -> None:
        """Wake the most urgent waiter, the first among equals; it has a look at ``when``.

        Args:
            when: the time.
            anyone: without a waiter let one who was forced out come back then.
        """
        asleep = [p for p in self._waiters if not p.awake]
        if asleep:
            player = max(asleep, key=lambda p: p.urgency)
            player.awake = True
            player.token += 1
            self._plan(when, _Event.WAKE, player, player.token)
        elif anyone and not self._waiters:
            player = self._returning[0]
            player.token += 1
            self._plan(when, _Event.ASK, player, player.token)
