"""What the client makes of its round trips."""

from __future__ import annotations

from pathlib import Path

import pytest

from giltrace.scenarios import client
from giltrace.scenarios.errors import ScenarioError


class Echo:
    """A channel that answers a message with itself, or with ``answer``."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self._answer = answer

    def send(self, payload: bytes) -> None:
        """Take a message."""
        self.sent.append(payload)

    def receive(self) -> bytes:
        """Answer it."""
        return self.sent[-1] if self._answer is None else self._answer

    def close(self) -> None:
        """Be closed."""
        self.closed = True


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0),
        ([7], 50, 7),
        ([7], 99, 7),
        ([1, 2, 3, 4], 50, 2),
        ([1, 2, 3, 4], 99, 4),
        (list(range(1, 101)), 99, 99),
        (list(range(1, 101)), 100, 100),
    ],
)
def test_percentile(values: list[int], percent: int, expected: int) -> None:
    """Percentiles are nearest-rank: always a value that was measured."""
    assert expected == client.percentile(values, percent)


def test_every_message_is_another() -> None:
    """Messages have the size that was asked for, and differ; an empty one ends the run."""
    channel = Echo()
    exchange = client.Exchange()
    exchange.run(lambda: channel, requests=3, size=300, sleep_s=0)
    assert [300, 300, 300, 0] == [len(message) for message in channel.sent]
    assert 4 == len(set(channel.sent))
    assert 3 == len(exchange.latencies_ns)
    assert channel.closed


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"x" * 300, "message 1 of 300 bytes came back as other bytes"),
        (b"", "message 1 of 300 bytes came back as 0 bytes"),
    ],
)
def test_a_wrong_echo_fails_the_run(answer: bytes, message: str) -> None:
    """The client does not take the time of something that is no echo."""
    with pytest.raises(ScenarioError) as caught:
        client.Exchange().run(lambda: Echo(answer), requests=3, size=300, sleep_s=0)
    assert message == caught.value.message


def test_figures() -> None:
    """The figures follow from the latencies and the ends of the run."""
    exchange = client.Exchange()
    exchange.latencies_ns = [1_000_000, 3_000_000, 2_000_000, 4_000_000]
    exchange.start_ns, exchange.end_ns = 1_000_000_000, 1_020_000_000
    assert {
        "requests": 4,
        "seconds": 0.02,
        "ms_per_request": 5.0,
        "p50_ms": 2.0,
        "p99_ms": 4.0,
        "max_ms": 4.0,
        "timed_out": False,
        "start_ns": 1_000_000_000,
        "end_ns": 1_020_000_000,
    } == exchange.to_dict()


def test_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """A client without a server says so in one line and exits with 1."""
    assert 1 == client.main(["tcp", "127.0.0.1:1"])
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("giltrace: client: the server is gone: ")
    assert 1 == err.count("\n")


def test_latencies_that_cannot_be_written(tmp_path: Path) -> None:
    """A file that cannot be written is an error that names it."""
    with pytest.raises(ScenarioError) as caught:
        client._write_latencies(str(tmp_path), [1])
    assert f"cannot write {tmp_path}: Is a directory" == caught.value.message
