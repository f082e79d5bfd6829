"""The C core: the GIL tap (in the target) and the reader of its arena (in the recorder)."""

import os
from typing import Final, TypedDict, final

FORMAT: Final[int]
EVENT_BYTES: Final[int]
CHUNK_EVENTS: Final[int]
INFO_BYTES: Final[int]
NAME_BYTES: Final[int]

class TapError(RuntimeError): ...

class Probe(TypedDict):
    image: str
    cond_offset: int
    switch_cond_offset: int
    attempts: int

class State(TypedDict):
    installed: bool
    recording: bool
    gils: int

class Totals(TypedDict):
    lost_events: int
    codes_lost: int
    gils_unseen: int
    stop_ns: int
    on: bool

def start(
    path: str | os.PathLike[str],
    info: bytes,
    *,
    slots: int = 4096,
    chunks: int = 4096,
    codes_bytes: int = 8388608,
    stacks: int = 1,
) -> None: ...
def stop() -> None: ...
def install() -> None: ...
def probe() -> Probe: ...
def name_thread(native_id: int, name: bytes, /) -> bool: ...
def finalizing() -> None: ...
def state() -> State: ...

@final
class ArenaReader:
    def __new__(cls, path: str | os.PathLike[str]) -> ArenaReader: ...
    @property
    def info(self) -> tuple[int, int, bytes]: ...
    def drain(self) -> tuple[list[tuple[int, int]], bytes]: ...
    def threads(self) -> list[tuple[int, int, int, int, bytes]]: ...
    def codes(self) -> list[tuple[int, int, bytes, bytes, bytes]]: ...
    def gils(self) -> list[tuple[int, int, int, int, int, int, int, int]]: ...
    def totals(self) -> Totals: ...
    def free(self, slot: int, /) -> int | None: ...
    def switch(self, on: bool, /) -> None: ...
    def close(self) -> None: ...
