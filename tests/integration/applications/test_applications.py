"""Well-known applications recorded whole: they end as without giltrace, and the hog is found.

Each has one thread that computes without ever letting the GIL go by itself, in a function called
`hog`, beside what the application does. They come with the extra `apps`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from giltrace.model import Trace
from giltrace.report import terminal
from tests.support.life import both, whole
from tests.support.python import environment
from tests.support.recorder import command, record, script

pytestmark = pytest.mark.slow

TIMEOUT_S = 50.0  # for one of two runs

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
    """The findings, in words: those are what one reads first. Here they are one line."""
    text = terminal.render(trace, top=1, width=120, colour=False)
    return " ".join(text.partition("\nThreads")[0].split())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def alike(folder: Path, *target: str) -> Trace:
    """Run a Python program as it is, then recorded: both must end alike and say the same.

    The words on stderr are of logs and warnings, with times and process ids.
    """
    plain = subprocess.run(
        [sys.executable, *target],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment(),
        cwd=folder,
        check=False,
    )
    done = record(folder / "out.giltrace", *target, timeout=TIMEOUT_S)
    assert _without_times(done) == _without_times(plain), done.stderr + plain.stderr
    assert done.returncode == 0, plain.stderr
    assert "giltrace:" not in done.stderr
    return whole(folder / "out.giltrace")


def _without_times(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    return done.returncode, re.sub(r"\d+\.\d+s", "TIME", done.stdout)


def served_alike(folder: Path, server: Callable[[int], list[str]]) -> Trace:
    """Let a server serve the same requests as it is, then recorded: both must end alike.

    Args:
        folder: where it runs.
        server: gives the command line for a port.
    """
    port = free_port()
    plain = serve(folder, server(port), port)
    port = free_port()
    assert serve(folder, command(folder / "out.giltrace", *server(port)), port) == plain
    return whole(folder / "out.giltrace")


def serve(folder: Path, argv: list[str], port: int) -> int:
    """Start a server, ask it, ask it to end as an operator would; gives its exit code."""
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        cwd=folder,
        start_new_session=True,
    ) as process:
        try:
            _await(port, process)
            ask_around(port)
            process.send_signal(signal.SIGTERM)
            words, _ = process.communicate(timeout=60)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert "Traceback" not in words and "giltrace:" not in words, words
    code = process.returncode
    return 128 - code if code < 0 else code  # as a shell gives it, and `giltrace record`


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
    """One request that computes, and others beside it for as long as it takes."""
    from concurrent.futures import ThreadPoolExecutor

    def ask_quick() -> set[str]:
        answers = {get(port, "/quick")}
        while not slow.done():
            answers.add(get(port, "/quick"))
        return answers

    with ThreadPoolExecutor(4) as executor:
        slow = executor.submit(get, port, "/slow")
        others = [executor.submit(ask_quick) for _ in range(3)]
        assert slow.result().strip('"') == "slow"
    assert {answer.strip('"') for other in others for answer in other.result()} == {"quick"}


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
    options = ["--worker-class", "gthread", "--threads", "4", "--workers", "2"]
    gunicorn = [sys.executable, "-m", "gunicorn", *options, "site_of_ours:app"]
    trace = served_alike(tmp_path, lambda port: [*gunicorn, "-b", f"127.0.0.1:{port}"])
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
    uvicorn = [sys.executable, "-m", "uvicorn", "site_of_ours:app"]
    trace = served_alike(tmp_path, lambda port: [*uvicorn, "--port", str(port)])
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
    assert "in hog" in explained(both(tmp_path, code))


def test_celery_with_its_broker_in_memory(tmp_path: Path) -> None:
    """A worker as its command line starts it, with a pool of threads; a producer ends it."""
    pytest.importorskip("celery")
    code = (
        HOG
        + """
from celery import Celery
from celery.signals import worker_ready
app = Celery("ours", broker="memory://", backend="cache+memory://")
app.conf.update(broker_transport_options={"polling_interval": 0.01}, worker_redirect_stdouts=False)
@app.task
def slow():
    hog(0.6)
    return "slow"
@app.task
def quick(n):
    time.sleep(0.001)
    return n
def produce():
    tasks = [slow.delay(), *(quick.delay(n) for n in range(100))]
    one, *others = (task.get(interval=0.01, disable_sync_subtasks=False) for task in tasks)
    print(one, sum(others))
    app.control.shutdown()
@worker_ready.connect
def ready(**_):
    threading.Thread(target=produce, name="producer").start()
app.worker_main("-q worker --pool threads --concurrency 4 --loglevel WARNING".split())
"""
    )
    trace = alike(tmp_path, script(tmp_path, code))
    assert "producer" in {thread.name for thread in trace.threads}
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
    trace = alike(tmp_path, program)
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
    over = threading.Event()
    def beside():
        while not over.is_set():
            time.sleep(0.001)
    thread = threading.Thread(target=beside)
    thread.start()
    hog(0.6)
    over.set()
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
    trace = alike(tmp_path, *pytest_)
    assert len(trace.processes) == 3
    assert "in hog" in explained(trace)
