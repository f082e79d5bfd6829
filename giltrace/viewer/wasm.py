"""The trace processor as WebAssembly, as a backend of the perfetto package's client.

Imports wasmtime and perfetto at once: use it through `giltrace.viewer.processor`, which looks first
whether they are there.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import wasmtime
from perfetto.trace_processor import TraceProcessor, TraceProcessorException
from perfetto.trace_processor.backend import TraceProcessorBackend

from giltrace.viewer import bundle

REQUEST_BYTES: Final = 32 << 20
PAGE_BYTES: Final = 64 << 10
ENOSYS: Final = 52  # emscripten's number, which is not Linux's
EBADF: Final = 8


def _cache_dir() -> Path | None:
    """A directory only this user can write, or None.

    Loading a compiled module runs it as native code, so it must never come from a shared place.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "giltrace"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(facts.st_mode) and not facts.st_mode & 0o022
    return folder if private and facts.st_uid == os.getuid() else None


def compiled() -> bool:
    """Whether the engine has been compiled for this user before; else it takes some seconds."""
    folder = _cache_dir()
    return folder is not None and (folder / _cache_name(_code())).exists()


@cache
def _code() -> bytes:
    return bundle.require("the trace processor").engine.read_bytes()


def _cache_name(code: bytes) -> str:
    digest = hashlib.sha256(code + version("wasmtime").encode()).hexdigest()[:24]
    return f"trace_processor-{digest}.cwasm"


@cache
def _module() -> tuple[Any, Any]:
    """(engine, module), compiled at most once per machine and user."""
    code = _code()
    engine = wasmtime.Engine()
    folder = _cache_dir()
    if folder is None:
        return engine, wasmtime.Module(engine, code)
    kept = folder / _cache_name(code)
    try:
        return engine, wasmtime.Module.deserialize_file(engine, str(kept))
    except (OSError, wasmtime.WasmtimeError):  # absent, or not made by this build of wasmtime
        module = wasmtime.Module(engine, code)
    _replace(kept, bytes(module.serialize()))
    return engine, module


def _replace(path: Path, data: bytes) -> None:
    """Write a file atomically: several processes share the cache. It may fail: it is a cache."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        os.replace(name, path)
    except OSError:
        pass


class _Engine:
    """One instance of the WebAssembly engine and its request/reply byte channel."""

    def __init__(self) -> None:
        engine, module = _module()
        self.store = wasmtime.Store(engine)
        self.replies: list[bytes] = []
        self.log = bytearray()
        functions = [self._import(item) for item in module.imports]
        exports: Any = wasmtime.Instance(self.store, module, functions).exports(self.store)
        self.memory: Any = exports["memory"]
        self.call: Callable[..., Any] = lambda name, *args: exports[name](self.store, *args)
        i32 = wasmtime.ValType.i32()
        reply = wasmtime.Func(self.store, wasmtime.FuncType([i32, i32], []), self._on_reply)
        self.call("emscripten_stack_init")
        self.call("__wasm_call_ctors")
        table: Any = exports["__indirect_function_table"]
        slot = table.grow(self.store, 1, reply)
        self.buffer = self.call("trace_processor_rpc_init", slot, REQUEST_BYTES) & 0xFFFFFFFF

    def request(self, data: bytes) -> bytes:
        """The bytes of all replies to one stream of requests."""
        self.replies.clear()
        for start in range(0, len(data), REQUEST_BYTES):
            part = data[start : start + REQUEST_BYTES]
            self.memory.write(self.store, part, self.buffer)
            self.call("trace_processor_on_rpc_request", len(part))
        return b"".join(self.replies)

    def _on_reply(self, start: int, size: int) -> None:
        start &= 0xFFFFFFFF
        self.replies.append(bytes(self.memory.read(self.store, start, start + size)))

    def _import(self, item: Any) -> Any:
        """Build one imported function: ours if the engine needs it, else "not implemented"."""
        known = getattr(self, f"_env_{item.name}", None)
        results = len(item.type.results)

        def absent(*_args: Any) -> Any:
            return -ENOSYS if results else None

        return wasmtime.Func(self.store, item.type, known or absent)

    def _env_emscripten_get_now(self) -> float:
        return time.monotonic() * 1e3

    def _env_emscripten_date_now(self) -> float:
        return time.time() * 1e3

    def _env_emscripten_get_heap_max(self) -> int:
        return -PAGE_BYTES  # 4 GiB less one page, as a signed 32-bit number

    def _env_emscripten_resize_heap(self, size: int) -> int:
        more = (size & 0xFFFFFFFF) - self.memory.data_len(self.store)
        if more > 0:
            self.memory.grow(self.store, -(-more // PAGE_BYTES))
        return 1

    def _env_clock_time_get(self, clock: int, _precision: int, out: int) -> int:
        now = time.time_ns() if clock == 0 else time.monotonic_ns()
        self.memory.write(self.store, struct.pack("<Q", now), out & 0xFFFFFFFF)
        return 0

    def _env_environ_sizes_get(self, count: int, size: int) -> int:
        for address in (count, size):
            self.memory.write(self.store, bytes(4), address & 0xFFFFFFFF)
        return 0

    def _env_environ_get(self, _pointers: int, _text: int) -> int:
        return 0

    def _env_fd_write(self, fd: int, vectors: int, count: int, out: int) -> int:
        """Keep what the engine prints: it explains an abort."""
        if fd not in (1, 2):
            return EBADF
        before = len(self.log)
        for at in range(vectors & 0xFFFFFFFF, (vectors & 0xFFFFFFFF) + 8 * count, 8):
            start, size = struct.unpack("<II", self.memory.read(self.store, at, at + 8))
            self.log += self.memory.read(self.store, start, start + size)
        written = struct.pack("<I", len(self.log) - before)
        self.memory.write(self.store, written, out & 0xFFFFFFFF)
        return 0

    def _env__abort_js(self) -> None:
        raise RuntimeError(f"the trace processor aborted: {self.log.decode(errors='replace')}")

    def _env___assert_fail(self, *_args: int) -> None:
        self._env__abort_js()


class WasmBackend(TraceProcessorBackend):  # type: ignore[misc]
    """The engine behind the client's backend interface: load and query only."""

    def __init__(self, protos: Any) -> None:
        super().__init__(protos)
        self._engine: _Engine | None = _Engine()

    def _ask(self, method: str, fill: Callable[[Any], None] = lambda _request: None) -> Any:
        if self._engine is None:
            raise RuntimeError("the trace processor is closed")
        stream = self.protos.TraceProcessorRpcStream()
        request = stream.msg.add()
        request.request = getattr(self.protos.TraceProcessorRpc, method)
        fill(request)
        answer = self.protos.TraceProcessorRpcStream()
        try:
            answer.ParseFromString(self._engine.request(stream.SerializeToString()))
        except (RuntimeError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise TraceProcessorException(str(error)) from error
        for message in answer.msg:
            if message.HasField("fatal_error"):
                raise TraceProcessorException(message.fatal_error)
        return answer.msg

    def parse(self, chunk: bytes) -> Any:
        """Load a part of a trace."""

        def fill(request: Any) -> None:
            request.append_trace_data = chunk

        return self._ask("TPM_APPEND_TRACE_DATA", fill)[0].append_result

    def notify_eof(self) -> None:
        """The trace is complete."""
        self._ask("TPM_FINALIZE_TRACE_DATA")

    def execute_query(self, query: str) -> Any:
        """Run SQL; its last statement gives the result."""

        def fill(request: Any) -> None:
            request.query_args.sql_query = query

        merged = self.protos.QueryResult()
        for message in self._ask("TPM_QUERY_STREAMING", fill):
            merged.MergeFrom(message.query_result)
        return merged

    def compute_metric(self, metrics: Any) -> Any:
        """Not wired up."""
        raise NotImplementedError

    def trace_summary(self, *_args: Any) -> Any:
        """Not wired up."""
        raise NotImplementedError

    def enable_metatrace(self) -> Any:
        """Not wired up."""
        raise NotImplementedError

    def disable_and_read_metatrace(self) -> Any:
        """Not wired up."""
        raise NotImplementedError

    def export(self, *_args: Any) -> Any:
        """Not wired up."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the engine, and of its memory."""
        self._engine = None


class WasmTraceProcessor(TraceProcessor):  # type: ignore[misc]
    """The stock client with the engine above in place of the native one."""

    def _create_backend(self, *_address: Any) -> WasmBackend:
        return WasmBackend(self.protos)
