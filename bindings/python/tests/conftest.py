"""What the tests share: a folder for sockets, a child process, and waiting by condition."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import varta
from varta import Observer

DEADLINE = 30.0

# gunicorn and Celery are installed for one Python, which `bindings/python/run` chooses.
WITH_SERVERS = find_spec("gunicorn") is not None
collect_ignore = [] if WITH_SERVERS else ["test_servers.py"]

# Only the installed wheel is tested.
assert "site-packages" in varta.__file__, varta.__file__


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own folders have names that are too long for sockets.
    with tempfile.TemporaryDirectory(prefix="varta-") as name:
        yield Path(name)


@pytest.fixture
def path(folder: Path) -> str:
    return str(folder / "varta.sock")


@pytest.fixture
def observer(path: str) -> Iterator[Observer]:
    with Observer.bind(path, threshold=60) as observer:
        yield observer


@pytest.fixture
def receiver(path: str) -> Iterator[socket.socket]:
    """Somebody bound there who is no observer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(DEADLINE)
        yield receiver


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DEADLINE)
        yield receiver


def needed(name: str) -> str:
    """Where something is that `bindings/python/run test` has installed."""
    place = os.environ.get(name)
    if place is None:
        message = f"{name} is not set; bindings/python/run test sets it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return place


def wait_until(what: str, condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE:.0f} s for {what}"
        time.sleep(0.005)


def expect(observer: Observer, kind: type[varta.Event]) -> varta.Event:
    """The next event, which is of this kind."""
    event = observer.poll(DEADLINE)
    assert isinstance(event, kind), event
    return event


def until(observer: Observer, kind: type[varta.Event]) -> varta.Event:
    """The next event of this kind, whatever comes before it."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        event = observer.poll(DEADLINE)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} in {DEADLINE:.0f} s")


def in_child(run: Callable[[], object]) -> None:
    """Runs it in a forked child, and fails if that does."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python of its own that runs this."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it says until it ends, which it does by itself."""
    try:
        return process.communicate(timeout=2 * DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"still running: {process.communicate()}") from None
