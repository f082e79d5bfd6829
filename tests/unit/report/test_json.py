"""The report as one JSON object."""

from __future__ import annotations

import json

from giltrace.report.json import as_object, render
from tests.support import stories
from tests.support.stories import UNSEEN
from tests.support.timeline import timeline

CONVOY = timeline(stories.convoy())


def test_keys_of_the_object() -> None:
    """The parts, in this order: what is the matter comes before the numbers behind it."""
    assert list(as_object(CONVOY)) == [
        "capture", "findings", "predictions", "gils", "threads", "blocking_calls", "blame",
        "stacks",
    ]  # fmt: skip


def test_finding() -> None:
    """What is the matter: who, whom, how much, in words and as numbers."""
    finding = as_object(CONVOY)["findings"][0]
    main, spin = CONVOY.threads
    expected = {
        "kind": "convoy",
        "pid": 100,
        "interpreter": 0,
        "confidence": 0.75,
        "grounds": {
            "cases": 3, "fitting_ns": 15_000_000, "of_ns": 15_000_000, "recorded": 1.0,
        },
        "threads": 1,
        "waits": 3,
        "lost_ns": 15_000_000,
        "shared_ns": 0,
        "max_ns": 5_000_000,
        "interval_ns": 15_000_000,
        "overdue_ns": 0,
        "switch_interval_ns": 5_000_000,
        "start_ns": 11_000_000,
        "end_ns": 36_000_000,
        "alternation": None,
        "health": None,
    }  # fmt: skip
    assert {key: finding[key] for key in expected} == expected
    assert list(finding["words"]) == ["title", "happened", "why", "cost", "todo", "evidence"]
    assert finding["words"]["title"].startswith("Convoy: `MainThread` lost 15 ms")
    (victim,), (hog,) = finding["victims"], finding["hogs"]
    assert (victim["thread"], victim["tid"], victim["cycle"]) == ("MainThread", main.tid, None)
    assert (hog["thread"], hog["tid"], hog["lost_ns"]) == ("Thread-1", spin.tid, 15_000_000)
    assert hog["places"][0]["where"] == "load.py:12 in spin"
    assert finding["calls"][0]["where"] == "server.py:41 in handle"
    assert finding["evidence"][0] == {
        "thread": "MainThread", "tid": main.tid, "start_ns": 11_000_000, "end_ns": 16_000_000,
    }  # fmt: skip


def test_predictions() -> None:
    """The recording itself, played, and what each remedy would do to the victim's cycle."""
    predictions = {one["policy"]: one for one in as_object(CONVOY)["predictions"]}
    assert next(iter(predictions)) == "as recorded"
    apart = predictions["computing in another process"]
    expected = {
        "pid": 100,
        "interpreter": 0,
        "remedy": "Thread-1 in another process",
        "switch_interval_ns": None,
        "victim": "MainThread",
        "hogs": ["Thread-1"],
        "cycles": 2,
        "recorded_ns": 10_000_000,
        "cycle_ns": 5_000_000,
        "lower_bound": False,
        "ratio": 0.5,
        "wait_ns": 0,
        "error": 0.0,
    }
    assert {key: apart[key] for key in expected} == expected
    assert predictions["switch interval 0.5 ms"]["switch_interval_ns"] == 500_000


def test_think_time_is_passed_on() -> None:
    """Told how long clients think, a prediction is no lower bound any more."""
    trace = timeline(UNSEEN)
    assert {one["lower_bound"] for one in as_object(trace)["predictions"]} == {True}
    told = as_object(trace, think_ns=1_000_000)
    assert {one["lower_bound"] for one in told["predictions"]} == {False}


def test_stacks() -> None:
    """Callers, where they were recorded, innermost first."""
    trace = timeline("""
        cpu: hold 0-6ms at load.py:12 in spin from job.py:3 in run check
        io:  wait 1-6ms request@6ms hold 6-7ms at wire.py:5 in read from app.py:40 in serve
    """)
    first = as_object(trace)["stacks"][0]
    assert first == {
        "pid": 100,
        "tid": trace.threads[0].tid,
        "thread": "cpu",
        "frames": ["load.py:12 in spin", "job.py:3 in run"],
        "holds": 1,
        "hold_ns": 6_000_000,
        "blamed_ns": 5_000_000,
        "wait_after_ns": 0,
    }
    assert as_object(CONVOY)["stacks"] == []


def test_capture() -> None:
    """What was recorded, when, and how much of it is missing."""
    capture = as_object(CONVOY)["capture"]
    expected = {
        "argv": ["app.py"],
        "python": "3.11.7",
        "implementation": "cpython",
        "backend": "tap",
        "gil_enabled": True,
        "switch_interval_ns": 5_000_000,
        "start_ns": 0,
        "end_ns": 46_000_000,
        "lost_events": 0,
        "complete": True,
        "exit_code": 0,
        "signal": None,
        "notes": [],
    }
    assert {key: capture[key] for key in expected} == expected
    assert [process["pid"] for process in capture["processes"]] == [100]


def test_gil() -> None:
    """Every number of the GIL's row."""
    (gil,) = as_object(CONVOY)["gils"]
    assert gil == {
        "pid": 100,
        "interpreter": 0,
        "inferred": False,
        "switch_interval_ns": 5_000_000,
        "wall_ns": 46_000_000,
        "held_ns": 46_000_000,
        "wait_ns": 24_000_000,
        "utilisation": 1.0,
        "contention": 24 / 46,
        "acquires": 9,
        "releases": 8,
        "handoffs": 8,
        "waits": 8,
        "forced": 4,
        "voluntary": 4,
        "unknown": 0,
        "drop_requests": 4,
    }


def test_thread() -> None:
    """Every number of a thread's row."""
    thread = as_object(CONVOY)["threads"][0]
    assert thread == {
        "pid": 100,
        "tid": CONVOY.threads[0].tid,
        "inferred": False,
        "name": "MainThread",
        "label": "MainThread",
        "start_ns": CONVOY.threads[0].start_ns,
        "end_ns": CONVOY.threads[0].end_ns,
        "acquires": 4,
        "hold_ns": 4_000_000,
        "wait_ns": 20_000_000,
        "off_gil_ns": 12_000_000,
        "blocked_ns": 0,
        "sleep_ns": 0,
        "lock_ns": 0,
        "native_ns": 0,
        "switch_ns": 0,
        "unknown_ns": 12_000_000,
        "not_running_ns": 0,
        "waits": 4,
        "wait_p50_ns": 5_000_000,
        "wait_p99_ns": 5_000_000,
        "wait_max_ns": 5_000_000,
        "forced_out": 0,
        "scheduling": None,
    }


def test_blame() -> None:
    """Who waited for whom, where, and for how long; the most expensive first."""
    first, second = as_object(CONVOY)["blame"]
    main, spin = CONVOY.threads
    assert first == {
        "pid": 100,
        "waiter": "MainThread",
        "waiter_tid": main.tid,
        "holder": "Thread-1",
        "holder_tid": spin.tid,
        "where": "load.py:12 in spin",
        "filename": "load.py",
        "line": 12,
        "qualname": "spin",
        "call": None,
        "expression": None,
        "wait_ns": 20_000_000,
        "waits": 4,
    }
    assert (second["waiter"], second["holder"], second["wait_ns"]) == (
        "Thread-1",
        "MainThread",
        4_000_000,
    )


def test_hand_off_gap_has_no_holder() -> None:
    """Time in which nobody held the GIL is blamed on nobody."""
    rows = as_object(timeline("A: hold 0-1ms; io: wait 0.9-5ms hold 5-6ms"))["blame"]
    assert (rows[0]["holder"], rows[0]["where"], rows[0]["wait_ns"]) == (None, None, 4_000_000)


def test_top_limits_blame_only() -> None:
    """`--top` leaves threads and GILs alone."""
    shown = as_object(CONVOY, top=1)
    assert (len(shown["blame"]), len(shown["threads"])) == (1, 2)


def test_times_are_integers() -> None:
    """No time is a float, which could not hold it exactly."""

    def check(value: object, key: str) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                check(item, name)
        elif isinstance(value, list):
            for item in value:
                check(item, key)
        elif key.endswith("_ns"):
            assert type(value) is int or value is None, key

    check(as_object(CONVOY), "")


def test_hostile_text_is_strict_ascii_json() -> None:
    """Surrogates do not survive, control characters are escaped, and nothing is cut."""
    name = "x\x1b\u202e\udc80" + "y" * 5000
    text = render(timeline(f"{name}: hold 0-1ms"))
    assert text.isascii()
    assert "\x1b" not in text
    parsed = json.loads(text)["threads"][0]
    assert parsed["name"] == "x\x1b\u202e\ufffd" + "y" * 5000
    assert len(parsed["label"]) == 40
