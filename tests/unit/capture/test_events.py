"""The bit layout of an event."""

from __future__ import annotations

import json
import subprocess
import sys

from giltrace.capture.events import (
    FLAG_AT_CHECK,
    PAYLOAD_MASK,
    Event,
    Kind,
    pack_data,
    pack_event,
    pack_place,
    pack_span,
    schema,
    unpack_event,
)


def test_release_has_the_documented_bits() -> None:
    """Every field of a RELEASE lands on its own bits, least significant first."""
    data = pack_data(
        Kind.RELEASE, pack_place(0x1234, 0x5678, 0x9ABC), flags=FLAG_AT_CHECK, gil=0xEF
    )
    assert data == 0x9ABC_5678_1234_EF_22


def test_span_has_the_documented_bits() -> None:
    """The code comes first, then the depth."""
    assert pack_data(Kind.SPAN, pack_span(0x1234, 0x5678)) == 0x5678_1234_00_09
    assert pack_span(0x1_0001, 0x1_0002) == 0x0002_0001


def test_event_is_two_little_endian_words() -> None:
    """The time comes first, then the data word."""
    raw = pack_event(0x0102030405060708, Kind.ACQUIRE, 0x42)
    assert raw.hex(" ") == "08 07 06 05 04 03 02 01 01 00 42 00 00 00 00 00"


def test_event_unpacks_to_what_was_packed() -> None:
    """Extreme values of all fields survive."""
    raw = pack_event((1 << 64) - 1, 15, PAYLOAD_MASK, flags=15, gil=255)
    assert unpack_event(raw) == Event((1 << 64) - 1, 15, 15, 255, PAYLOAD_MASK)


def test_values_beyond_their_field_do_not_touch_the_neighbours() -> None:
    """An oversized value is cut off, not spilled."""
    assert pack_data(0x1F, 0, flags=0x1F, gil=0x1FF) == 0xFFFF
    assert pack_place(0x1_0001, 0x1_0002, 0x1_0003) == 0x0003_0002_0001


def test_schema_is_plain_json_with_all_kinds() -> None:
    """The description that goes into the file names each kind and its payload."""
    described = json.loads(json.dumps(schema()))
    assert described["kinds"] == {kind.name: kind.value for kind in Kind}
    assert set(described["payloads"]) == set(described["kinds"])


def test_the_writing_side_needs_no_numpy() -> None:
    """The recorder stays small: numpy comes only with the reader."""
    code = "import sys, giltrace.capture.writer, giltrace.capture; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
