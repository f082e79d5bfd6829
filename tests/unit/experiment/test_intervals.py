"""Switch intervals as people write them."""

from __future__ import annotations

import pytest

from giltrace.errors import GiltraceError
from giltrace.experiment import intervals


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], ()),
        (["0.005"], (0.005,)),
        (["5ms"], (0.005,)),
        (["5 MS"], (0.005,)),
        (["100us"], (0.0001,)),
        (["100µs"], (0.0001,)),
        (["100\u03bcs"], (0.0001,)),
        (["1500ns"], (0.0000015,)),
        (["1s"], (1.0,)),
        (["5e-3"], (0.005,)),
        (["1e3"], (1000.0,)),
        (["1us"], (0.000001,)),
        (["10ms,5ms, 1ms", "100us"], (0.01, 0.005, 0.001, 0.0001)),
        (["5ms,0.005,5000us"], (0.005,)),
    ],
)
def test_parse(texts: list[str], expected: tuple[float, ...]) -> None:
    """Seconds or a unit, lists and repetitions, each interval once and in order."""
    assert expected == intervals.parse(texts)


@pytest.mark.parametrize(
    "text", ["", "ms", "5m", "5 parsecs", "-1ms", "1..2", "nan", "inf", "5ms,"]
)
def test_no_interval(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(GiltraceError) as caught:
        intervals.parse([text])
    assert caught.value.message.endswith("' is no switch interval")
    assert 2 == caught.value.exit_code


@pytest.mark.parametrize("text", ["0", "999ns", "1001s", "1e300"])
def test_out_of_range(text: str) -> None:
    """No interpreter can do with less than a microsecond, and nobody waits longer."""
    with pytest.raises(GiltraceError) as caught:
        intervals.parse([text])
    assert f"a switch interval of {text} is out of range" == caught.value.message
    assert "It may be from 1 µs to 1000 s." == caught.value.hint


@pytest.mark.parametrize(
    ("seconds", "shown", "label"),
    [
        (0.005, "5 ms", "5ms"),
        (0.0001, "100 µs", "100us"),
        (0.0000015, "1.5 µs", "1.5us"),
        (1.0, "1 s", "1s"),
        (1000.0, "1000 s", "1000s"),
    ],
)
def test_show(seconds: float, shown: str, label: str) -> None:
    """For people, and for file names."""
    assert (shown, label) == (intervals.show(seconds), intervals.label(seconds))
    assert (seconds,) == intervals.parse([label])
