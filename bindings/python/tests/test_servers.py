"""The gunicorn hooks and the Celery bootstep, with the installed servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import DEADLINE, until, wait_until

from varta import AgentEvent, Beat, Declared, Exit, Observer, Promise, Stall

EXAMPLES = Path(__file__).parent.parent / "examples"


@contextmanager
def running(folder: Path, path: str, *command: object) -> Iterator[subprocess.Popen[str]]:
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=os.environ
        | {"VARTA_ENDPOINT": path, "PYTHONPATH": str(EXAMPLES)}
        | {"REQUEST_SECONDS": "0.5", "JOB_SECONDS": "0.5"},
        cwd=folder,
        stdout=log,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    except AssertionError as error:
        log.seek(0)
        raise AssertionError(f"{error}\n{log.read()}") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


APPLICATION = """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        time.sleep(1000)
    start_response("200 OK", [])
    return [b"fine"]
"""


def test_gunicorn_workers_beat_and_a_hung_one_is_replaced(folder: Path, path: str) -> None:
    (folder / "application.py").write_text(APPLICATION)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bind = "{}:{}".format(*probe.getsockname())
    with Observer.bind(path, threshold=60, lane=True, tasks=True) as observer, running(
        folder, path, "-m", "gunicorn", "--config", EXAMPLES / "gunicorn_conf.py", "--workers", "2",
        "--timeout", "600", "--graceful-timeout", "5", "--bind", bind, "--no-control-socket", "application:app",
    ) as server:  # fmt: skip
        workers = set()
        while len(workers) < 2:
            workers.add(until(observer, Beat).pid)
        assert server.pid not in workers

        def serves_and_is_watched() -> bool:
            with urllib.request.urlopen(f"http://{bind}/", timeout=DEADLINE) as response:
                assert response.read() == b"fine"
            observer.poll(0.02)
            return sum(agent["tasks"] for agent in observer.agents()) == 2

        # A worker that did not get its page when it opened its agent gets it with later calls.
        wait_until("the tasks of both workers", serves_and_is_watched)
        while observer.poll(0) is not None:
            pass
        with socket.create_connection(bind.split(":"), timeout=DEADLINE) as hanging:
            hanging.sendall(b"GET /hang HTTP/1.0\r\n\r\n")
            # gunicorn itself would wait for ten minutes.
            stall = until(observer, Stall)
            assert stall.pid in workers
            assert (stall.task_name, stall.promise) == ("request", Promise.SPAN)
        os.kill(stall.pid, signal.SIGKILL)
        assert until_replaced(observer, stall.pid, workers) != server.pid
        server.terminate()
        assert server.wait(2 * DEADLINE) == 0


def until_replaced(observer: Observer, killed: int, known: set[int]) -> int:
    """Waits for the exit of a worker and the first beat of its replacement, in either order."""
    exited, replacement = False, None
    while not exited or replacement is None:
        event = until(observer, AgentEvent)
        if isinstance(event, Exit):
            exited = event.pid == killed
        elif isinstance(event, Beat) and event.pid not in known:
            replacement = event.pid
    return replacement


def test_a_celery_worker_beats(folder: Path, path: str) -> None:
    with Observer.bind(path, threshold=30) as observer, running(
        folder, path, "-m", "celery", "--app", "celery_app", "worker", "--pool", "prefork",
        "--concurrency", "1", "--without-gossip", "--without-mingle",
    ) as worker:  # fmt: skip
        beats = [until(observer, Beat) for _ in range(3)]
        assert {beat.pid for beat in beats} == {worker.pid}
        worker.terminate()
        assert worker.wait(2 * DEADLINE) == 0
        assert until(observer, Exit).code == 0


# The worker is in the process that sends the jobs, because its broker is in memory.
CELERY = """
import threading
from celery.contrib.testing.worker import start_worker
from celery_app import add, app, running
from varta import Varta

@app.task
def fail():
    raise KeyError

@app.task
def hang():
    # The jobs before it are over, the one that failed too.
    assert len(running) == 1
    with Varta.open() as agent:
        while agent.watched is None:
            agent.beat()
    threading.Event().wait()

with start_worker(app, pool="solo", perform_ping_check=False):
    fail.delay()
    add.delay(1, 2)
    hang.delay()
    threading.Event().wait()
"""


def test_a_job_of_celery_that_hangs_is_a_late_task(folder: Path, path: str) -> None:
    with Observer.bind(path, threshold=30, lane=True, tasks=True) as observer, running(
        folder, path, "-c", CELERY
    ) as worker:
        declared = until(observer, Declared)
        assert (declared.pid, declared.task_name) == (worker.pid, "job")
        stall = until(observer, Stall)
        assert (stall.task, stall.promise) == (declared.task, Promise.SPAN)
