"""Fixtures and helpers: a folder for sockets, child processes, and waiting for a condition."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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


class Watching:
    """An observer with a lane and tasks that a thread polls, and its events."""

    def __init__(self, path: str, **settings: Any) -> None:
        defaults = {"lane": True, "tasks": True, "threshold": 60}
        self.observer = Observer.bind(path, **{**defaults, **settings})
        self.events: list[varta.Event] = []
        self._thread = threading.Thread(target=lambda: self.events.extend(self.observer))
        self._thread.start()

    def until(self, kind: Any, **fields: object) -> Any:
        """Removes and returns the first event of this kind with these fields."""

        def fits(event: varta.Event) -> bool:
            values = (getattr(event, name) == value for name, value in fields.items())
            return isinstance(event, kind) and all(values)

        wait_until(f"{kind} {fields} in {self.events}", lambda: any(map(fits, self.events)))
        found = next(filter(fits, self.events))
        self.events.remove(found)
        return found

    def close(self) -> None:
        self.observer.close()
        self._thread.join(DEADLINE)


@pytest.fixture
def watching(path: str) -> Iterator[Watching]:
    watching = Watching(path)
    yield watching
    watching.close()


@pytest.fixture
def receiver(path: str) -> Iterator[socket.socket]:
    """A plain socket that is bound where an observer would be."""
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
    """The path of something that `bindings/python/run test` installs."""
    path_text = os.environ.get(name)
    if path_text is None:
        message = f"{name} is not set; bindings/python/run test sets it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path_text


def wait_until(what: str, condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE:.0f} s for {what}"
        time.sleep(0.005)


def expect(observer: Observer, kind: type[varta.Event]) -> varta.Event:
    """Returns the next event, which must be of this kind."""
    event = observer.poll(DEADLINE)
    assert isinstance(event, kind), event
    return event


def until(observer: Observer, kind: type[varta.Event]) -> varta.Event:
    """Skips events until one of this kind, and returns it."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        event = observer.poll(DEADLINE)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} in {DEADLINE:.0f} s")


def in_child(run: Callable[[], object]) -> None:
    """Runs a function in a forked child, and fails if the child does."""
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
    """Starts a separate Python that runs this code."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Waits for the process to exit, and returns its output and errors."""
    try:
        return process.communicate(timeout=2 * DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"still running: {process.communicate()}") from None
