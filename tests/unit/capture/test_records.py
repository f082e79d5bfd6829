"""Encoding and decoding records."""

from __future__ import annotations

import json
import struct

import pytest

from giltrace.capture.records import (
    CallInfo,
    CodeInfo,
    Descriptor,
    End,
    GilInfo,
    ProcessEnd,
    ProcessInfo,
    Record,
    Sample,
    SessionInfo,
    SourceText,
    SwitchInterval,
    ThreadInfo,
    ThreadName,
    decode,
    encode,
)

HOSTILE = "\x1b[31m[bold]\x00\n\udcff" + "é" * 10_000

RECORDS: list[Record] = [
    SessionInfo("1.0", ["a.py", HOSTILE], 5, 6, "h", "p", {"calls": "io"}, {"x": [1]}),
    ProcessInfo(0, 10, 1, 2, "3.12.1", "cpython", "/p", ["x"], "tap", 7, False, ["a note"]),
    ThreadInfo(0, 1, 11, 3, HOSTILE),
    ThreadName(0, 1, 4, HOSTILE),
    GilInfo(0, 255, 3, 9),
    CodeInfo(0, 65535, 0xFFFFFFFF, HOSTILE, HOSTILE, bytes(range(256))),
    Sample(0, 1, 2, 3, 4, 5, 6, 7, [[11, 1, 2, 3, 4], [12, 0, 0, 0, 0]]),
    ProcessEnd(0, 8, 9, "killed"),
    End(1, None, 9, "signal"),
    SwitchInterval(0, 0, 1, 5_000_000),
    CallInfo(0, 65535, HOSTILE),
    SourceText(HOSTILE, 1, f"def f():\n{HOSTILE}\n"),
    Descriptor(0, 7, 1, HOSTILE),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_record_comes_back_equal(record: Record) -> None:
    """Encoding and decoding is the identity, for hostile text too."""
    assert decode(type(record), encode(record)) == record


def test_json_is_ascii_so_that_every_reader_can_decode_it() -> None:
    """Lone surrogates and control characters are escaped."""
    payload = encode(ThreadName(0, 1, 4, "\udcff\x00é"))
    assert payload == b'{"process":0,"thread":1,"ts_ns":4,"name":"\\udcff\\u0000\\u00e9"}'


def test_missing_fields_take_defaults_and_unknown_ones_are_ignored() -> None:
    """A minor version can add fields in either direction."""
    payload = b'{"process":1,"gil":2,"colour":"red"}'
    assert decode(GilInfo, payload) == GilInfo(1, 2, 0, 0)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nul",
        b"[]",
        b"null",
        b"{}",
        b'{"process":1}',
        b'{"process":"1","gil":2}',
        b'{"process":true,"gil":2}',
        b'{"process":1.0,"gil":2}',
        b'{"process":-1,"gil":2}',
        b'{"process":4294967296,"gil":2}',
        b'{"process":1,"gil":256}',
        b'{"process":1,"gil":-1}',
        b'{"process":1,"gil":2,"created_ns":9223372036854775808}',
        b'{"process":1,"gil":2,"created_ns":null}',
        b'{"process":1,"gil":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"process":1,"gil":2}\xff',
        '{"process":1,"gil":2}'.encode("utf-16"),
    ],
)
def test_wrong_json_is_none(payload: bytes) -> None:
    """Whatever is not an object of the right types is damage, not an exception."""
    assert decode(GilInfo, payload) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"threads": [[1, 2, 3, 4]]},
        {"threads": [[1, 2, 3, 4, "5"]]},
        {"threads": [1]},
        {"threads": {}},
        {"rss": None},
    ],
)
def test_wrong_sample_is_none(fields: dict[str, object]) -> None:
    """Rows of the wrong length or type make the sample damage."""
    good = json.loads(encode(Sample(0, 1, 2, 3, 4, 5, 6, 7, [[1, 2, 3, 4, 5]])))
    assert decode(Sample, json.dumps(good | fields).encode()) is None


def test_lists_of_strings_hold_only_strings() -> None:
    """A number among the arguments makes the record damage."""
    good = json.loads(encode(RECORDS[0]))
    assert decode(SessionInfo, json.dumps(good | {"argv": ["a", 1]}).encode()) is None
    assert decode(SessionInfo, json.dumps(good | {"options": []}).encode()) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0" * 23,
        b"\0" * 25,
        struct.pack("<6I", 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        struct.pack("<6I", 0, 1, 1, 1, 0, 0) + b"\xff",
        struct.pack("<6I", 0, 1, 1, 0, 1, 0) + b"\xc3",
    ],
)
def test_wrong_code_is_none(payload: bytes) -> None:
    """Lengths that do not add up and text that is not UTF-8 are damage."""
    assert decode(CodeInfo, payload) is None
