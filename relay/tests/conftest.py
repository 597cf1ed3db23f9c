"""Shared helpers: NATS servers, relays, histories, and what a subscriber receives."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
import pytest

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
RELAY = BUILT / "varta-relay"
WATCH = BUILT / "varta-watch"
BEAT = BUILT / "examples" / "beat"
HISTORY = BUILT / "examples" / "history"

# The records that are not published.
MEASUREMENTS = {"beats", "clock", "floor", "gap", "late", "minute", "threshold"}
DEADLINE = 120.0

# The tests that do not need a certain version run with the first of these.
SERVERS = [Path(sys.prefix) / "bin" / "nats-server"]
if OLDER := shutil.which("nats-server"):
    SERVERS.append(Path(OLDER))
elif os.environ.get("CI") == "true":
    raise SystemExit("nats-server is not installed; tools/programs installs it")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=10, help="how often the failure test kills")


def wait_until(what: str, look: Callable[[], Any]) -> Any:
    """Calls `look` until it returns something true, and returns that."""
    end = time.monotonic() + DEADLINE
    while not (seen := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {DEADLINE:.0f} s for {what}")
        time.sleep(0.02)
    return seen


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Fleet:
    """A folder with processes that end with the test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.history = folder / "history"
        self.port = free_port()
        self.metrics = free_port()
        self.running: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self, *command: object) -> subprocess.Popen[bytes]:
        log = self.folder / f"{Path(str(command[0])).name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command], stdout=output, stderr=output, cwd=self.folder
            )
        self.running.append(process)
        return process

    def log(self, name: str = "varta-relay") -> str:
        return (self.folder / f"{name}.log").read_text()

    def server(self, *flags: object, program: Path = SERVERS[0]) -> subprocess.Popen[bytes]:
        store = ["--jetstream", "--store_dir", self.folder / "streams"]
        server = self.start(program, "--addr", "127.0.0.1", "--port", self.port, *store, *flags)
        wait_until("the server", lambda: is_open(self.port))
        return server

    def flags(self) -> list[object]:
        return [
            "--server", self.url, "--history-dir", self.history,
            "--cursor-file", self.folder / "cursor.json",
        ]  # fmt: skip

    def relay(self, *flags: object, create_stream: bool = True) -> subprocess.Popen[bytes]:
        create = ["--create-stream"] if create_stream else []
        metrics = ["--metrics-addr", f"127.0.0.1:{self.metrics}"]
        return self.start(RELAY, *self.flags(), *create, *metrics, *flags)

    def create_stream(self, name: str, subjects: list[str], **config: Any) -> None:
        self.configure("CREATE", name=name, subjects=subjects, **config)

    def update_stream(self, name: str, subjects: list[str], **config: Any) -> None:
        self.configure("UPDATE", name=name, subjects=subjects, **config)

    def configure(self, what: str, **config: Any) -> None:
        # The client does not know all members that the server does.
        async def call() -> dict[str, Any]:
            client = await nats.connect(self.url, connect_timeout=60)
            subject = f"$JS.API.STREAM.{what}.{config['name']}"
            answer = await client.request(subject, json.dumps(config).encode(), timeout=DEADLINE)
            await client.close()
            return json.loads(answer.data)

        answer = asyncio.run(call())
        assert "error" not in answer, answer

    def write(self, count: int, per_second: int = 1_000_000, host: str = "web1") -> None:
        """Records this many transitions, as one run of a daemon does."""
        command = [HISTORY, "write", self.history, host, per_second, count]
        subprocess.run([str(word) for word in command], check=True, timeout=DEADLINE)

    def recorded(self) -> list[dict[str, Any]]:
        """All that was recorded."""
        command = [HISTORY, "print", self.history]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=DEADLINE)
        return [json.loads(line) for line in printed.stdout.splitlines()]

    def transitions(self) -> list[dict[str, Any]]:
        """What was recorded and has to be published."""
        return [one for one in self.recorded() if one["event"] not in MEASUREMENTS]

    def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.metrics}/metrics"
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"varta_relay_{name} "):
                    return float(line.split()[1])
        raise KeyError(name)

    def wait_for_metric(self, name: str, wanted: Callable[[float], bool]) -> None:
        def look() -> bool:
            return is_open(self.metrics) and wanted(self.metric(name))

        wait_until(name, look)

    def kill_all(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()


class Proxy:
    """Passes connections on to a port, counts the clients that log in, and can end all connections."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.logins = 0
        self.sockets: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self.sockets += [client, server]
            for pair in [(client, server), (server, client)]:
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    def copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                # It is the first thing that a client sends.
                self.logins += data.startswith(b"CONNECT {")
                sink.sendall(data)
        for it in [source, sink]:
            with suppress(OSError):
                it.shutdown(socket.SHUT_RDWR)

    def end_all(self) -> None:
        for it in self.sockets:
            with suppress(OSError):
                it.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    try:
        yield fleet
    finally:
        fleet.kill_all()


class Stored:
    """A message in a stream."""

    def __init__(self, subject: str, headers: dict[str, str] | None, data: bytes) -> None:
        self.subject = subject
        self.id = (headers or {}).get("Nats-Msg-Id")
        self.members = json.loads(data)


async def messages(url: str, subject: str, wanted: int, **options: Any) -> list[Stored]:
    """Everything that the stream of a subject holds, once that are `wanted` messages or more."""
    client = await nats.connect(url, connect_timeout=60, **options)
    try:
        end = time.monotonic() + DEADLINE
        context = client.jetstream(timeout=DEADLINE)
        while True:
            try:
                stream = await context.find_stream_name_by_subject(subject)
                state = (await context.stream_info(stream)).state
                if state.messages >= wanted:
                    break
            except nats.js.errors.NotFoundError:
                pass
            if time.monotonic() > end:
                raise TimeoutError(f"waited {DEADLINE:.0f} s for {wanted} messages of {subject}")
            await asyncio.sleep(0.05)
        found = []
        subscription = await context.subscribe(subject, ordered_consumer=True)
        while len(found) < state.messages:
            message = await subscription.next_msg(timeout=DEADLINE)
            found.append(Stored(message.subject, message.headers, message.data))
        return found
    finally:
        await client.close()


def stored(fleet: Fleet, subject: str, wanted: int, **options: Any) -> list[Stored]:
    return asyncio.run(messages(fleet.url, subject, wanted, **options))


def id_of(record: dict[str, Any]) -> str:
    return f"{record['host']}/{record['run']}/{record['seq']}"
