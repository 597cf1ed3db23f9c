"""Shared helpers: the daemon, agents, and tools that the system must provide."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
WATCH = BUILT / "varta-watch"
RELAY = BUILT / "varta-relay"
BEAT = BUILT / "examples" / "beat"
DEADLINE = 60.0


def tool(name: str) -> str:
    """A program of the system. Without it the test is skipped; in CI that is a failure."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed; tools/programs installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and captures its output."""
    options = {"timeout": DEADLINE} | options
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )


def wait_until(what: str, look: Callable[[], Any]) -> Any:
    """Calls `look` until it returns something true, and returns that."""
    end = time.monotonic() + DEADLINE
    while not (seen := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {DEADLINE:.0f} s for {what}")
        time.sleep(0.1)
    return seen


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


TOKEN = "0123456789abcdef" * 4


def secret(folder: Path, name: str = "token") -> Path:
    """A file of 64 hex digits that only its owner can read."""
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(TOKEN)
    return path


def shipped_config(folder: Path) -> Path:
    """The shipped configuration, with its token in a folder of the test."""
    text = (DEPLOY / "varta-watch.toml").read_text()
    assert "/etc/varta/token" in text
    config = folder / "varta-watch.toml"
    config.write_text(text.replace("/etc/varta/token", str(secret(folder))))
    return config


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        return answer.read().decode()


class Processes:
    """Starts processes and ends them with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()

    def start(self, *command: object, **options: Any) -> subprocess.Popen[bytes]:
        log = self.folder / f"{Path(str(command[0])).name}.log"
        with log.open("ab") as output:
            options = {"stdout": output, "stderr": output} | options
            process = subprocess.Popen([str(word) for word in command], **options)
        self.stack.callback(self.end, process)
        return process

    def beat(self, endpoint: Path) -> subprocess.Popen[bytes]:
        """An agent that beats twenty times a second, for longer than any test takes."""
        return self.start(BEAT, endpoint, "--every", "50", "1000000")

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    with processes.stack:
        yield processes


class Daemon:
    """A running daemon."""

    def __init__(self, processes: Processes, folder: Path, *flags: object, **options: Any) -> None:
        self.socket = folder / "varta.sock"
        self.address = f"127.0.0.1:{free_port()}"
        self.process = processes.start(
            WATCH, "--socket", self.socket, "--threshold-ms", "1000",
            "--prom-addr", self.address, "--prom-rate-limit-per-sec", "0", *flags,
            **options,
        )  # fmt: skip
        wait_until("the daemon", self.is_up)

    def is_up(self) -> bool:
        assert self.process.poll() is None, "the daemon has ended"
        with socket.socket() as probe:
            host, port = self.address.split(":")
            return self.socket.exists() and probe.connect_ex((host, int(port))) == 0

    def metrics(self, path: str = "/metrics") -> str:
        return fetch(f"http://{self.address}{path}")
