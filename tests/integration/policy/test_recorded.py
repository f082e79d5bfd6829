"""What is on record of a policy."""

from __future__ import annotations

from pathlib import Path

from tests.support.policy import POLICIES, run


@POLICIES
def test_recorded_streams_keep_their_invariants(tmp_path: Path, policy: str) -> None:
    """One holder at a time, alternation, and requests that name a hold of another thread."""
    run(
        """
giltrace.policy(sys.argv[2])
def io():
    for _ in range(300): time.sleep(0.0001)
def compute():
    for _ in range(40): sum(range(20_000))
def both(n):
    giltrace.set_priority(n)
    for _ in range(100): cycle(); sum(range(500))
with Recorded() as seen:
    run(io, io, compute, compute, (both, -1), (both, 1))
last, holds, open_ = {}, {}, {}
for e in seen.events:
    if e.kind == "acquire":
        assert last.get(e.slot) != "acquire" and e.payload not in holds
        holds[e.payload] = [e.slot, e.ts, None]
        open_[e.slot] = e.payload
    if e.kind == "release":
        assert last.get(e.slot) == "acquire"
        holds[open_.pop(e.slot)][2] = e.ts
    if e.kind in ("acquire", "release"):
        last[e.slot] = e.kind
assert sorted(holds) == list(range(1, len(holds) + 1))
ordered = [holds[tenure] for tenure in sorted(holds)]
assert all(a[2] <= b[1] for a, b in zip(ordered, ordered[1:])), "two holders at once"
requests = [e for e in seen.events if e.kind == "drop_request"]
assert requests
for e in requests:
    slot, begin, end = holds[e.payload]
    assert slot != e.slot and begin <= e.ts <= end
""",
        tmp_path,
        policy,
    )


def test_a_recording_tells_priorities_and_early_requests(tmp_path: Path) -> None:
    """Each change is an event of the thread itself, and requests ahead of the interval say so."""
    run(
        """
sys.setswitchinterval(60)
def work():
    giltrace.set_priority(2)
    # A request is made where the other thread has been quick enough to take the GIL meanwhile.
    while seen.reader.gils()[0][-1] < 10: time.sleep(0.0002)
    giltrace.set_priority(0)
    cycle()
giltrace.set_priority(-1)
with Recorded() as seen:
    worker = threading.Thread(target=work); worker.start()
    while worker.is_alive(): pass
    worker.join()
told = defaultdict(list)
for e in seen.events:
    if e.kind == "priority":
        told[seen.tids[e.slot]].append(e.payload)
assert told == {threading.get_native_id(): [2**32 - 1], worker.native_id: [2, 0]}, told
mine = [e for e in seen.events if seen.tids[e.slot] == worker.native_id]
requests, waits = ([e for e in mine if e.kind == kind] for kind in ("drop_request", "wait"))
assert len(requests) >= 10 and all(e.flags & 1 for e in requests), requests
assert len(requests) == len(waits), "it is more urgent than who holds the GIL, each time"
""",
        tmp_path,
    )
