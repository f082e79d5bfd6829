"""Line tables of older interpreters, converted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from giltrace.capture.linetable import decode
from giltrace.record.lnotab import linetable

PAIRS = st.lists(
    st.tuples(st.sampled_from([0, 2, 4, 40, 254]), st.sampled_from([0, 1, 2, 127, 128, 250, 255]))
)


def lines(lnotab: bytes, first: int, covers: int) -> list[int]:
    """The line of each code unit, as `dis` of Python 3.9 has it."""
    starts = []
    at, line = 0, first
    for address, delta in zip(lnotab[::2], lnotab[1::2], strict=True):
        if address:
            starts.append((at, line))
            at += address
        line += delta - 256 if delta >= 128 else delta
    starts.append((at, line))
    return [
        [line for start, line in starts if start <= 2 * unit][-1] for unit in range(covers // 2)
    ]


@given(PAIRS, st.integers(1, 100))
def test_every_unit_keeps_its_line(pairs: list[tuple[int, int]], units: int) -> None:
    """Each instruction is on the line on which it was."""
    lnotab = bytes(byte for pair in pairs for byte in pair)
    table = decode(linetable(lnotab, 2 * units), 100_000)
    found = [table.position(unit).line for unit in range(units)]
    assert found == lines(lnotab, 100_000, 2 * units)
    assert table.units == units


def test_what_is_too_long_is_cut() -> None:
    """Nothing beyond what an event can name is kept, whatever a target claims."""
    assert decode(linetable(b"", 1 << 30), 1).units == 0xFFFF
