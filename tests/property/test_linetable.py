"""Our decoder of line tables agrees with the interpreter's own."""

from __future__ import annotations

import argparse
import asyncio.base_events
import dataclasses
import decimal
import enum
import inspect
import typing
from collections.abc import Iterator
from types import CodeType, ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from giltrace.capture.linetable import LineTable, Position


def rows(table: bytes, firstlineno: int) -> list[Position]:
    """The position of each code unit that the table covers."""
    decoded = LineTable(table, firstlineno)
    return [decoded.position(unit) for unit in range(decoded.units)]


def nested(code: CodeType) -> Iterator[CodeType]:
    """A code object and all those in its constants."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from nested(const)


@pytest.mark.parametrize(
    "module",
    [argparse, asyncio.base_events, dataclasses, decimal, enum, inspect, typing],
    ids=lambda module: module.__name__,
)
def test_agrees_for_real_code(module: ModuleType) -> None:
    """For every code object of a stdlib module, each position is what `co_positions` says."""
    code = compile(inspect.getsource(module), f"{module.__name__}.py", "exec")
    for each in nested(code):
        assert rows(each.co_linetable, each.co_firstlineno) == list(each.co_positions())


def varint(value: int) -> bytes:
    """6 bits a byte, least significant first, bit 6 set on all but the last."""
    head = b""
    while value >= 64:
        head += bytes([value & 63 | 64])
        value >>= 6
    return head + bytes([value])


def signed(value: int) -> bytes:
    """A varint with the sign in its lowest bit."""
    return varint(-value << 1 | 1 if value < 0 else value << 1)


SEVEN_BITS = st.integers(0, 127).map(lambda value: bytes([value]))
DELTA = st.integers(-1000, 100_000).map(signed)
NUMBER = st.integers(0, 1 << 20).map(varint)
ENTRIES = st.one_of(
    st.tuples(st.integers(0, 9), SEVEN_BITS),
    st.tuples(st.integers(10, 12), SEVEN_BITS, SEVEN_BITS),
    st.tuples(st.just(13), DELTA),
    st.tuples(st.just(14), DELTA, NUMBER, NUMBER, NUMBER),
    st.tuples(st.just(15)),
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.tuples(ENTRIES, st.integers(1, 8)), max_size=30))
def test_agrees_for_any_well_formed_table(entries: list[tuple[typing.Any, int]]) -> None:
    """The interpreter reads tables of arbitrary entries as we do."""
    table = b"".join(
        bytes([0x80 | code << 3 | units - 1]) + b"".join(rest) for (code, *rest), units in entries
    )
    # So far from line 1 that no sum of deltas becomes negative.
    code = rows.__code__.replace(co_linetable=table, co_firstlineno=50_000)
    assert rows(table, 50_000) == list(code.co_positions())


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.integers(0, (1 << 32) - 1), st.integers(-2, 1 << 16))
def test_any_bytes_are_survived(table: bytes, firstlineno: int, lasti: int) -> None:
    """Hostile tables give positions in range or none, and never an exception."""
    position = LineTable(table, firstlineno).position(lasti)
    assert all(value is None or 0 <= value < 1 << 31 for value in position)
