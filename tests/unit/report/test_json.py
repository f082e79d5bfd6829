"""The report as one JSON object."""

from __future__ import annotations

import json

from giltrace.report.json import as_object, render
from tests.support import stories
from tests.support.timeline import timeline

CONVOY = timeline(stories.convoy())


def test_keys_of_the_object() -> None:
    """The five parts, in this order."""
    assert list(as_object(CONVOY)) == ["capture", "gils", "threads", "blocking_calls", "blame"]


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
            assert type(value) is int, key

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
