"""Who gets what from the server behind `giltrace view`."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from giltrace.errors import GiltraceError
from giltrace.viewer import server as module
from giltrace.viewer.server import Server, Show


@pytest.fixture
def ui(tmp_path: Path) -> Path:
    """A bundled UI of one page, beside a file that is none of the web's business."""
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "ui"
    root.mkdir()
    (root / "index.html").write_text("<html><head></head></html>")
    (root / "code.js").write_text("1")
    (root / "link").symlink_to(tmp_path / "secret")
    return root


@contextmanager
def running(show: Show) -> Iterator[Server]:
    """A server in a thread, ended in the end."""
    server = Server(show)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.done.set()
        thread.join()


def ask(
    server: Server, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        if method == "POST":
            connection.putheader("Content-Length", "0")
        connection.endheaders()
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def test_the_page_the_trace_and_the_files(ui: Path) -> None:
    """Below the random path are the UI, its files and the one trace."""
    with running(Show(b"trace", "t", ui)) as server:
        base = f"/{server.token}/"
        status, headers, page = ask(server, base)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert page == b'<html><head><script src="alive.js"></script></head></html>'
        assert ask(server, f"{base}trace")[::2] == (200, b"trace")
        assert ask(server, f"{base}code.js")[::2] == (200, b"1")
        assert ask(server, f"{base}alive.js")[0] == 200
        assert "Access-Control-Allow-Origin" not in headers
        assert "connect-src 'self'" in headers["Content-Security-Policy"]


def test_the_address_is_short_and_leads_to_the_ui(ui: Path) -> None:
    """What a user may have to copy fits a line; what the UI is told comes behind it."""
    with running(Show(b"trace", "t", ui)) as server:
        assert len(server.url) < 80
        status, headers, body = ask(server, server.url.removeprefix(server.origin))
        assert (status, body) == (302, b"")
        page, _, told = headers["Location"].partition("#")
        assert page == f"{server.origin}/{server.token}/" and "startupCommands" in told
    with running(Show(b"trace", "t", None)) as server:
        assert ask(server, f"/{server.token}/open")[0] == 404
        assert ask(server, server.url.removeprefix(server.origin))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/trace", "/index.html", "//trace", "/TOKEN", "/xTOKEN/trace", "/TOKEN/nothing"),
        *("/TOKEN/../secret", "/TOKEN/%2e%2e/secret", "/TOKEN//etc/passwd", "/TOKEN/link"),
        *("/TOKEN/.", "/TOKEN/done", "/%c3%a9"),
    ],
)
def test_nothing_else_is_served(ui: Path, path: str) -> None:
    """Without the random path there is nothing, and with it nothing outside the UI."""
    with running(Show(b"trace", "t", ui)) as server:
        status, _, body = ask(server, path.replace("TOKEN", server.token))
        assert (status, body) == (404, b"")


def test_other_names_and_pages_are_refused(ui: Path) -> None:
    """A name that resolves to 127.0.0.1, or a page from elsewhere, gets nothing."""
    with running(Show(b"trace", "t", ui)) as server:
        path = f"/{server.token}/trace"
        assert ask(server, path, Host="evil.example")[::2] == (421, b"")
        assert ask(server, path, Host=f"localhost:{server.server_port}")[::2] == (421, b"")
        assert ask(server, path, Origin="https://evil.example")[::2] == (403, b"")
        assert ask(server, path, Origin="null")[::2] == (403, b"")
        assert ask(server, path, Origin=server.origin)[0] == 200


def test_listens_on_this_machine_only() -> None:
    """The address is 127.0.0.1, and the path cannot be guessed."""
    first, second = (Server(Show(b"", "t", None)) for _ in range(2))
    with first, second:
        assert first.server_address[0] == "127.0.0.1"
        assert len(first.token) >= 32
        assert first.token != second.token


def test_port_in_use() -> None:
    """One line, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GiltraceError) as caught:
            Server(Show(b"", "t", None), port)
    assert caught.value.message == f"cannot listen on 127.0.0.1:{port}: address already in use"
    assert "--port" in caught.value.hint


def test_ends_when_the_last_tab_is_closed(ui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves while a tab holds its connection, and ends by itself behind it."""
    monkeypatch.setattr(module, "GRACE_S", 0.0)
    monkeypatch.setattr(module, "_BEAT_S", 0.01)
    server = Server(Show(b"trace", "t", ui))
    thread = threading.Thread(target=server.run)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", f"/{server.token}/alive")
    reply = connection.getresponse()
    assert reply.readline() == b": alive\n"
    assert thread.is_alive()
    reply.close()
    connection.close()
    thread.join(60)
    assert not thread.is_alive()


def test_ends_when_the_trace_was_handed_over() -> None:
    """The page for ui.perfetto.dev says so; until then the trace can be had."""
    server = Server(Show(b"trace", "t", None))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ask(server, f"/{server.token}/trace")[::2] == (200, b"trace")
    assert ask(server, f"/{server.token}/nothing", "POST")[0] == 404
    assert thread.is_alive()
    assert ask(server, f"/{server.token}/done", "POST")[0] == 200
    thread.join(60)
    assert not thread.is_alive()


def test_titles_cannot_break_out_of_the_page() -> None:
    """Whatever the file is called, the page shows it and runs nothing of it."""
    title = "</script><script>alert(1)</script><b>&\"'"
    with running(Show(b"trace", title, None)) as server:
        _, headers, page = ask(server, f"/{server.token}/")
        assert b"<script>alert" not in page
        assert b"<b>" not in page
        assert b"&lt;script&gt;alert" in page
        assert f"script-src 'nonce-{server.nonce}'" in headers["Content-Security-Policy"]
        assert server.nonce.encode() in page
