"""Well-known applications recorded whole: they end as without giltrace, and the hog is found.

Each has one thread that computes without ever letting the GIL go by itself, in a function called
`hog`, beside what the application does. They come with the extra `apps`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from giltrace.model import Trace
from giltrace.report import terminal
from tests.support.life import whole
from tests.support.python import environment
from tests.support.recorder import command, record, script

pytestmark = pytest.mark.slow

HOG = """
import threading, time
def hog(seconds):
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        n += 1
    return n
"""


def explained(trace: Trace) -> str:
    """The findings, in words: those are what one reads first."""
    return terminal.render(trace, top=1, width=120, colour=False).partition("\nThreads")[0]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(folder: Path, *target: str, port: int) -> Iterator[None]:
    """Record a server while the block runs; then ask it to end, as an operator would."""
    with subprocess.Popen(
        command(folder / "out.giltrace", *target),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        cwd=folder,
        start_new_session=True,
    ) as process:
        try:
            _await(port, process)
            yield
            process.send_signal(signal.SIGTERM)
            words, _ = process.communicate(timeout=60)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode in (0, 128 + signal.SIGTERM), words
    assert "Traceback" not in words and "giltrace:" not in words, words


def _await(port: int, process: subprocess.Popen[str]) -> None:
    """Return once somebody listens there."""
    while process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the server has ended")


def get(port: int, path: str) -> str:
    """The answer to one request."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return str(answer.read().decode())


def ask_around(port: int) -> None:
    """One request that computes, and others beside it."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as executor:
        slow = executor.submit(get, port, "/slow")
        answers = list(executor.map(lambda _: get(port, "/quick"), range(20)))
        assert slow.result().strip('"') == "slow"
    assert {answer.strip('"') for answer in answers} == {"quick"}


def test_gunicorn_with_threads_serving_flask(tmp_path: Path) -> None:
    """Master and workers are in the capture; the worker's hog is named."""
    pytest.importorskip("gunicorn")
    pytest.importorskip("flask")
    code = (
        HOG
        + """
from flask import Flask
app = Flask(__name__)
@app.get("/slow")
def slow():
    hog(0.6)
    return "slow"
@app.get("/quick")
def quick():
    time.sleep(0.001)
    return "quick"
"""
    )
    script(tmp_path, code, "site_of_ours.py")
    port = free_port()
    options = ["--worker-class", "gthread", "--threads", "4", "--workers", "2"]
    gunicorn = [sys.executable, "-m", "gunicorn", *options, "-b", f"127.0.0.1:{port}"]
    with serving(tmp_path, *gunicorn, "site_of_ours:app", port=port):
        ask_around(port)
    trace = whole(tmp_path / "out.giltrace")
    assert len(trace.processes) == 3
    assert "in hog" in explained(trace)


def test_uvicorn_with_fastapi(tmp_path: Path) -> None:
    """An endpoint on the thread pool computes while the event loop has other things to do."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    code = (
        HOG
        + """
import asyncio
from fastapi import FastAPI
app = FastAPI()
@app.get("/slow")
def slow():
    hog(0.6)
    return "slow"
@app.get("/quick")
async def quick():
    await asyncio.sleep(0.001)
    return "quick"
"""
    )
    script(tmp_path, code, "site_of_ours.py")
    port = free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", "--port", str(port), "site_of_ours:app"]
    with serving(tmp_path, *uvicorn, port=port):
        ask_around(port)
    trace = whole(tmp_path / "out.giltrace")
    assert "in hog" in explained(trace)


def test_a_worker_pool_on_a_broker_in_memory(tmp_path: Path) -> None:
    """Producers, a queue, workers and results, one task of which computes."""
    code = (
        HOG
        + """
import queue
from concurrent.futures import Future
broker = queue.Queue()
def task(n):
    time.sleep(0.001)
    return n
def work():
    for future, function, argument in iter(broker.get, None):
        future.set_result(function(argument))
workers = [threading.Thread(target=work, name=f"worker {n}") for n in range(4)]
for worker in workers:
    worker.start()
futures = []
for n in range(200):
    futures.append(Future())
    broker.put((futures[-1], task, n))
    if n == 50:
        broker.put((Future(), hog, 0.6))
print(sum(future.result() for future in futures))
for worker in workers:
    broker.put(None)
for worker in workers:
    worker.join()
"""
    )
    done = record(tmp_path / "out.giltrace", script(tmp_path, code))
    assert (done.returncode, done.stdout, done.stderr) == (0, "19900\n", "")
    trace = whole(tmp_path / "out.giltrace")
    assert "in hog" in explained(trace)


def test_a_jupyter_kernel(tmp_path: Path) -> None:
    """A kernel started by a client: cells run, a background thread hogs, the kernel shuts down."""
    pytest.importorskip("jupyter_client")
    pytest.importorskip("ipykernel")
    code = """
from jupyter_client.manager import KernelManager
import sys
manager = KernelManager()
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
def run(cell):
    reply = client.execute_interactive(cell, timeout=60, output_hook=lambda message: None)
    assert reply["content"]["status"] == "ok", reply
run(HOG)
run("thread = threading.Thread(target=hog, args=(0.6,)); thread.start()")
for n in range(10):
    run(f"time.sleep(0.001); {n}")
run("thread.join()")
client.stop_channels()
manager.shutdown_kernel()
print("done")
"""
    program = script(tmp_path, f"HOG = {HOG!r}\n" + code)
    done = record(tmp_path / "out.giltrace", program, options=("-q",), timeout=100)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    trace = whole(tmp_path / "out.giltrace")
    kernels = [p for p in trace.processes if any("ipykernel" in word for word in p.argv)]
    assert len(kernels) == 1
    assert "in hog" in explained(trace)


def test_pytest_with_workers(tmp_path: Path) -> None:
    """Two workers of pytest-xdist run tests, one of which computes beside a thread."""
    pytest.importorskip("xdist")
    code = (
        HOG
        + """
def test_slow():
    thread = threading.Thread(target=lambda: [time.sleep(0.001) for _ in range(50)])
    thread.start()
    hog(0.6)
    thread.join()
def test_beside():
    thread = threading.Thread(target=time.sleep, args=(0.05,))
    thread.start(); thread.join()
def test_more():
    time.sleep(0.01)
"""
    )
    script(tmp_path, code, "test_ours.py")
    pytest_ = ["-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "test_ours.py"]
    done = record(tmp_path / "out.giltrace", *pytest_, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    trace = whole(tmp_path / "out.giltrace")
    assert len(trace.processes) == 3
    assert "in hog" in explained(trace)
