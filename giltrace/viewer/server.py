"""Showing one trace in a browser on this machine, and nothing else to anybody else.

The server listens on 127.0.0.1, answers only under a random path that the user's browser is given,
and only to requests that name it by that address: a page from elsewhere, even with a name that
resolves to 127.0.0.1, gets nothing. It ends by itself: with the bundled UI a moment after the last
tab that shows it has closed, with ui.perfetto.dev once the trace has been handed over.
"""

from __future__ import annotations

import html
import json
import mimetypes
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Final

from giltrace.errors import GiltraceError
from giltrace.viewer.commands import fragment, startup_commands

HOST: Final = "127.0.0.1"
ONLINE_UI: Final = "https://ui.perfetto.dev"
GRACE_S: Final = 4.0
"""For so long a tab may be gone, as it is when it is loaded anew."""

_BEAT_S: Final = 1.0
_ONLINE_PAGE: Final = (
    "default-src 'none'; script-src 'nonce-@NONCE@'; style-src 'nonce-@NONCE@';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The UI compiles WebAssembly, runs workers made of blobs and makes styles as it goes. What it would
# ask other hosts for (statistics, fonts, a shared server) is refused.
_BUNDLED_UI: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:;"
    " worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " connect-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Show:
    """What is to be shown.

    Attributes:
        data: the trace, as Perfetto reads it.
        title: what the viewer calls it.
        ui: the folder of the bundled UI; None for ui.perfetto.dev.
        online_ui: where that is.
    """

    data: bytes
    title: str
    ui: Path | None
    online_ui: str = ONLINE_UI


class Server(ThreadingHTTPServer):
    """Serves one trace, and the page or the UI that shows it."""

    daemon_threads = True
    allow_reuse_address = False
    allow_reuse_port = False

    def __init__(self, show: Show, port: int = 0) -> None:
        """Listen on a port; 0 for one that is free.

        Raises:
            GiltraceError: the port cannot be had.
        """
        self.show = show
        self.token = secrets.token_urlsafe(24)
        self.nonce = secrets.token_urlsafe(16)
        self.done = threading.Event()
        self._lock = threading.Lock()
        self._tabs = 0
        self._last_tab_s: float | None = None
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise GiltraceError(
                f"cannot listen on {HOST}:{port}: {reason[:1].lower()}{reason[1:]}",
                "Leave out --port to take one that is free.",
            ) from error

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:41234``."""
        return f"http://{HOST}:{self.server_port}"

    @property
    def url(self) -> str:
        """What the user's browser is to open; short, since a user may have to."""
        base = f"{self.origin}/{self.token}/"
        return base if self.show.ui is None else f"{base}open"

    @property
    def ui_url(self) -> str:
        """Where that leads: to the bundled UI, told what to load and what to do with it."""
        base = f"{self.origin}/{self.token}/"
        return f"{base}#{fragment(startup_commands(), f'{base}trace')}"

    def run(self) -> None:
        """Serve until the trace has been shown (see the module). Ctrl-C ends it, too."""
        thread = threading.Thread(target=self.serve_forever, name="giltrace-view", daemon=True)
        thread.start()
        try:
            while not self.done.wait(_BEAT_S):
                if self._abandoned():
                    break
        finally:
            self.shutdown()
            self.server_close()

    def tab(self, opened: bool) -> None:
        """A tab with the bundled UI has opened or closed."""
        with self._lock:
            self._tabs += 1 if opened else -1
            self._last_tab_s = time.monotonic()

    def _abandoned(self) -> bool:
        with self._lock:
            if self._tabs or self._last_tab_s is None:
                return False
            return time.monotonic() - self._last_tab_s > GRACE_S

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up is no error."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "giltrace"
    sys_version = ""

    def do_GET(self) -> None:
        """A page, the trace, or a file of the bundled UI."""
        path = self._path()
        if path is None:
            return
        answers: dict[str, Callable[[], None]] = {"": self._page, "trace": self._trace}
        if self.server.show.ui is not None:
            answers |= {
                "open": self._open,
                "alive": self._alive,
                "alive.js": self._alive_script,
            }
        answers.get(path, lambda: self._file(path))()

    def do_POST(self) -> None:
        """The page says that it has handed the trace over."""
        path = self._path()
        if path is None:
            return
        if path != "done" or self.server.show.ui is not None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        self._send(b"", "text/plain")
        self.server.done.set()

    def _path(self) -> str | None:
        """What is asked for, below the random path; None if it was refused."""
        if self.headers.get("Host") != f"{HOST}:{self.server.server_port}":
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        if self.headers.get("Origin", self.server.origin) != self.server.origin:
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        _, token, *rest = self.path.partition("?")[0].split("/", 2)
        if not secrets.compare_digest(token.encode(), self.server.token.encode()) or not rest:
            self._refuse(HTTPStatus.NOT_FOUND)
            return None
        return rest[0]

    def _page(self) -> None:
        show = self.server.show
        if show.ui is not None:
            page = (show.ui / "index.html").read_text("utf-8")
            page = page.replace("<head>", '<head><script src="alive.js"></script>', 1)
            self._send(page.encode(), "text/html; charset=utf-8", _BUNDLED_UI)
            return
        page = files("giltrace.viewer").joinpath("page/online.html").read_text("utf-8")
        for name, text in (
            ("@TITLE@", html.escape(show.title)),
            ("@TITLE_JSON@", _script(show.title)),
            ("@UI@", _script(show.online_ui)),
            ("@FRAGMENT@", _script(fragment(startup_commands()))),
            ("@NONCE@", self.server.nonce),
        ):
            page = page.replace(name, text)
        policy = _ONLINE_PAGE.replace("@NONCE@", self.server.nonce)
        self._send(page.encode(), "text/html; charset=utf-8", policy)

    def _open(self) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", self.server.ui_url)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _trace(self) -> None:
        self._send(self.server.show.data, "application/octet-stream")

    def _alive_script(self) -> None:
        script = files("giltrace.viewer").joinpath("page/alive.js").read_bytes()
        self._send(script, "text/javascript")

    def _alive(self) -> None:
        """Keep the connection for as long as the tab does."""
        self.close_connection = True
        self._head("text/event-stream")
        self.end_headers()
        self.server.tab(opened=True)
        try:
            while not self.server.done.wait(_BEAT_S):
                self.wfile.write(b": alive\n\n")
                self.wfile.flush()
        except OSError:
            pass
        finally:
            self.server.tab(opened=False)

    def _file(self, path: str) -> None:
        root = self.server.show.ui
        if root is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        found = (root / path).resolve()
        if not found.is_relative_to(root.resolve()) or not found.is_file():
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
        self._send(found.read_bytes(), kind, _BUNDLED_UI if kind == "text/html" else "")

    def _send(self, body: bytes, kind: str, policy: str = "") -> None:
        self._head(kind)
        self.send_header("Content-Length", str(len(body)))
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body)

    def _head(self, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        # No Access-Control-Allow-Origin: no page from elsewhere may read any of this.
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the terminal is the user's."""


def _script(value: str) -> str:
    """A JSON text that cannot end the script it stands in."""
    return json.dumps(value).replace("<", "\\u003c")
