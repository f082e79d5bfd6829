"""Read captures that are damaged or made to hurt, and everything that is made of them.

    python tools/fuzz_capture.py [CAPTURE…] [--count 1000000] [--seconds 3600] [--seed N]

Each input is a small capture cut out of CAPTURE (those of sample_runs/ by default), damaged as a
disk would, or put together anew with sound checksums and hostile content. It must be read, or be
refused with a `CaptureError`; one in --whole-every is also made into a trace, reports and exports.
Of anything else (another exception, more than LIMIT_S) the first input that does it is kept in
--keep, and the run ends with 1 after all; so it does if it took more memory than LIMIT_BYTES.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from giltrace.capture import CaptureError, read
from giltrace.capture.format import (
    Codec,
    FrameType,
    compress,
    file_header,
    pack_frame,
)
from giltrace.capture.scan import FrameScanner
from giltrace.capture.scheduling import What, pack_row
from giltrace.errors import GiltraceError

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 30
LIMIT_BYTES = 500_000_000
# A frame of each kind is enough, and some events: what is small is read often.
FRAMES_OF_A_KIND, EVENTS_OF_A_FRAME = 6, 60
SAY_EVERY_S = 10

NUMBERS = (
    *(0, 1, -1, 2, 127, 255, 256, 65535, 65536, 1 << 31, (1 << 32) - 1, 1 << 32),
    *(1 << 53, (1 << 63) - 1, 1 << 63, -(1 << 63), (1 << 64) - 1, 10**30),
)
STRINGS = (
    "",
    "\x1b]0;title\x07",
    "\x00",
    "[red]x[/]",
    "<b>&",
    "\u202e",
    "\ud800",
    "a" * 5000,
    "%s",
)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    *STRINGS,
    None,
    True,
    1.5,
    float("inf"),
    [],
    {},
    [[]],
    [1] * 50,
)


class Piece(NamedTuple):
    """A frame taken apart: its type, and its payload as it was before it was compressed."""

    type: int
    payload: bytes


class Found(Exception):
    """An input did what none may do.

    Attributes:
        where: what it did, and in which line: the same for inputs that find the same.
    """

    def __init__(self, where: str, text: str) -> None:
        super().__init__(text)
        self.where = where


def main() -> int:
    """Fuzz until the count or the time is used up; return the exit status."""
    options = _parser().parse_args()
    captures = options.captures or sorted((ROOT / "sample_runs").glob("*.giltrace"))
    corpus = [scheduled(pieces(path.read_bytes())) for path in captures]
    rng = random.Random(options.seed)  # noqa: S311 -- it has to be repeatable
    signal.signal(signal.SIGALRM, _too_long)
    options.keep.mkdir(parents=True, exist_ok=True)
    begun = told = time.monotonic()
    refused = n = 0
    found: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_memory()) as folder:
        path = Path(folder, "x.giltrace")
        for n in range(1, options.count + 1):
            data = mutated(rng, corpus)
            path.write_bytes(data)
            try:
                refused += _try(path, whole=n % options.whole_every == 0)
            except Found as error:
                if error.where not in found:
                    found.add(error.where)
                    kept = options.keep / f"found-{options.seed}-{n}.giltrace"
                    kept.write_bytes(data)
                    print(f"input {n} of seed {options.seed}: {error}\nkept: {kept}", flush=True)
            now = time.monotonic()
            if now - told > SAY_EVERY_S:
                told = now
                _say(n, refused, now - begun)
            if now - begun > options.seconds:
                break
    _say(n, refused, time.monotonic() - begun)
    return int(bool(found) or _peak_bytes() > LIMIT_BYTES)


def _try(path: Path, *, whole: bool) -> bool:
    """Read it, and perhaps make everything of it; whether it was refused."""
    signal.alarm(LIMIT_S)
    try:
        read(path)
        if whole:
            everything(path)
    except CaptureError:
        return True
    except GiltraceError:
        return False  # a capture, but of nothing that this could be made of
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is what we are here for
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} {last.filename}:{last.lineno}"
        raise Found(where, traceback.format_exc()) from None
    finally:
        signal.alarm(0)
    return False


def everything(path: Path) -> None:
    """A trace, its invariants, every report and every export."""
    from giltrace.export import registry
    from giltrace.model import load
    from giltrace.model.invariants import check
    from giltrace.report import json as json_report
    from giltrace.report import terminal
    from giltrace.report.html import page

    trace = load(path)
    assert check(trace) == [], check(trace)
    terminal.render(trace, top=5, width=100, colour=True)
    json.loads(json_report.render(trace))
    page.render(trace)
    for name in registry.names():
        registry.create(name).write(trace, io.BytesIO())


# ---------------------------------------------------------------- inputs


def pieces(data: bytes) -> list[Piece]:
    """The first frames of each kind of a capture, with few events each."""
    found: list[Piece] = []
    of_a_kind: dict[int, int] = {}
    scanner = FrameScanner(io.BytesIO(data))
    for frame in scanner:
        kind = frame.header.type
        of_a_kind[kind] = of_a_kind.get(kind, 0) + 1
        payload = frame.payload()
        if of_a_kind[kind] <= FRAMES_OF_A_KIND and payload is not None:
            short = _shortened(payload) if kind == FrameType.EVENTS else payload
            found.append(Piece(kind, short))
    return found


def scheduled(found: list[Piece]) -> list[Piece]:
    """These frames, and some rows of scheduling of the first threads, which run in turns."""
    threads = [json.loads(piece.payload) for piece in found if piece.type == FrameType.THREAD]
    rows = b"".join(
        pack_row(one["start_ns"] + step * 1_000_000, What(step % 6 + 1), one["tid"], cpu=step % 2)
        for one in threads
        for step in range(12)
    )
    return [*found, Piece(FrameType.SCHEDULING, rows)]


def _shortened(payload: bytes) -> bytes:
    process, runs = struct.unpack_from("<II", payload)
    at, kept, total = 8, [], 0
    for _ in range(runs):
        thread, count = struct.unpack_from("<II", payload, at)
        at += 8
        if total < EVENTS_OF_A_FRAME:
            kept.append((thread, min(count, EVENTS_OF_A_FRAME - total)))
            total += kept[-1][1]
    # The events need not be those of the thread that they are said to be of.
    head = struct.pack("<II", process, len(kept)) + b"".join(struct.pack("<II", *k) for k in kept)
    start = 8 + 8 * runs
    return head + payload[start : start + 16 * total]


def mutated(rng: random.Random, corpus: Sequence[list[Piece]]) -> bytes:
    """One input."""
    found = list(rng.choice(corpus))
    if rng.random() < 0.7:
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            rng.choice(REARRANGED)(rng, found, corpus)
    data = bytearray(assembled(rng, found))
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 3, 30))):
            if data:
                rng.choice(DAMAGED)(rng, data)
    return bytes(data)


def assembled(rng: random.Random, found: Sequence[Piece]) -> bytes:
    """A capture of these frames, with sound checksums."""
    return file_header() + b"".join(_frame(rng, piece) for piece in found)


def _frame(rng: random.Random, piece: Piece) -> bytes:
    codec, stored, length = Codec.RAW, piece.payload, len(piece.payload)
    if piece.type in (FrameType.EVENTS, FrameType.SCHEDULING) and rng.random() < 0.5:
        codec, stored = compress(piece.payload)
    if rng.random() < 0.005:
        length = rng.choice((0, length + 1, 1 << 24, 1 << 25, (1 << 32) - 1))
    if rng.random() < 0.005:
        codec = Codec(rng.choice(list(Codec)))
    return pack_frame(piece.type, codec, stored, length)


def _drop(rng: random.Random, found: list[Piece], _: Sequence[list[Piece]]) -> None:
    if found:
        del found[rng.randrange(len(found))]


def _repeat(rng: random.Random, found: list[Piece], _: Sequence[list[Piece]]) -> None:
    if found:
        found.insert(rng.randrange(len(found) + 1), rng.choice(found))


def _shuffle(rng: random.Random, found: list[Piece], _: Sequence[list[Piece]]) -> None:
    rng.shuffle(found)


def _borrow(rng: random.Random, found: list[Piece], corpus: Sequence[list[Piece]]) -> None:
    found.insert(rng.randrange(len(found) + 1), rng.choice(rng.choice(corpus)))


def _retype(rng: random.Random, found: list[Piece], _: Sequence[list[Piece]]) -> None:
    _replace(rng, found, lambda piece: piece._replace(type=rng.randrange(20)))


def _change(rng: random.Random, found: list[Piece], _: Sequence[list[Piece]]) -> None:
    """Other content, of its kind if that is known."""

    def change(piece: Piece) -> Piece:
        if piece.type == FrameType.EVENTS:
            return piece._replace(payload=_other_events(rng, piece.payload))
        try:
            document = json.loads(piece.payload)
        except ValueError:
            data = bytearray(piece.payload)
            if data:
                rng.choice(DAMAGED)(rng, data)
            return piece._replace(payload=bytes(data))
        return piece._replace(payload=json.dumps(_other_value(rng, document)).encode())

    _replace(rng, found, change)


def _replace(rng: random.Random, found: list[Piece], change: Callable[[Piece], Piece]) -> None:
    if found:
        at = rng.randrange(len(found))
        found[at] = change(found[at])


def _other_value(rng: random.Random, value: Any) -> Any:
    """One part of it is another value."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {other: value[other] for other in value if other != key}
        return {**value, key: _other_value(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], _other_value(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, int) and rng.random() < 0.4:
        return value + rng.choice((-1, 1, 1000, -1_000_000, 10**9))
    return rng.choice(VALUES)


def _other_events(rng: random.Random, payload: bytes) -> bytes:
    """Words of 32 or 64 bits are others, or stand elsewhere."""
    data = bytearray(payload)
    for _ in range(rng.choice((1, 3, 20))):
        size = rng.choice((1, 4, 8, 16))
        places = len(data) // size
        if not places:
            break
        at, other = rng.randrange(places) * size, rng.randrange(places) * size
        kind = rng.random()
        if kind < 0.4:
            data[at : at + size], data[other : other + size] = (
                data[other : other + size],
                data[at : at + size],
            )
        elif kind < 0.7:
            data[at : at + size] = (rng.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, "little")
        else:
            data[at] = rng.randrange(256)
    return bytes(data)


REARRANGED = (_drop, _repeat, _shuffle, _borrow, _retype, *[_change] * 8)


def _flip(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _lose(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 7, 64, 512))]


def _insert(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.choice((1, 8, 100)))


def _blank(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    count = min(rng.choice((4, 64, 4096)), len(data) - at)
    data[at : at + count] = bytes(count)


def _double(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.choice((16, 200, 5000))]


DAMAGED = (_flip, _flip, _flip, _cut, _lose, _insert, _blank, _double)

# ---------------------------------------------------------------- the rest


def _too_long(*_: object) -> None:
    raise TimeoutError(f"took more than {LIMIT_S} s")


def _peak_bytes() -> int:
    # What getrusage() tells begins with the memory of the process that started this one.
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def _say(n: int, refused: int, seconds: float) -> None:
    print(
        f"{n:,} inputs in {seconds:.0f} s, {refused:,} refused, {_peak_bytes() >> 20} MB at most",
        flush=True,
    )


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("captures", nargs="*", type=Path, metavar="CAPTURE")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--whole-every", type=int, default=100)
    parser.add_argument(
        "--keep", type=Path, default=Path(), help="where to leave an input that was found"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
