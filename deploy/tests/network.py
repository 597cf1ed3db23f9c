"""Hosts for the tests of a fleet: each has a network namespace of its own, and a link to the one of
the monitoring, which is that of this process for as long as the network exists."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import BEAT, WATCH, Processes, run, secret, tool, wait_until

CLONE_NEWNET = 0x4000_0000
LIBC = ctypes.CDLL(None, use_errno=True)
PORT = 9464


def checked(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@contextmanager
def private_network() -> Iterator[None]:
    """Moves this process, and what it starts, into a new network namespace."""
    tool("ip")
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        try:
            checked(LIBC.unshare(CLONE_NEWNET))
        except OSError as error:
            # Not even root may do this in some containers, so it is no failure in CI.
            if os.geteuid() == 0 or os.environ.get("CI") != "true":
                pytest.skip(f"network namespaces: {error}; run this as root")
            raise
        ip("link", "set", "lo", "up")
        yield
    finally:
        checked(LIBC.setns(own, CLONE_NEWNET))
        os.close(own)


def ip(*command: object) -> None:
    done = run("ip", *command)
    assert done.returncode == 0, done.stderr


class Host:
    """A host with a daemon and agents."""

    def __init__(self, processes: Processes, folder: Path, number: int, agents: int) -> None:
        self.processes = processes
        self.folder = folder / f"host{number}"
        self.folder.mkdir()
        self.address = f"198.18.{number}.2"
        self.target = f"{self.address}:{PORT}"
        self.socket = self.folder / "varta.sock"
        self.add_link(number)
        self.daemon = self.start(
            WATCH, "--socket", self.socket, "--threshold-ms", "1000",
            "--prom-addr", self.target, "--prom-token-file", secret(self.folder),
            "--prom-rate-limit-per-sec", "0",
        )  # fmt: skip
        wait_until("the daemon", self.is_up)
        self.agents = [
            self.start(BEAT, self.socket, "--every", "100", "1000000") for _ in range(agents)
        ]

    def is_up(self) -> bool:
        assert self.daemon.poll() is None, "the daemon has ended"
        with socket.socket() as probe:
            return self.socket.exists() and probe.connect_ex((self.address, PORT)) == 0

    def add_link(self, number: int) -> None:
        # It keeps the namespace as long as it runs.
        self.holder = self.processes.start("unshare", "--net", "sleep", "infinity")
        own = os.readlink("/proc/self/ns/net")
        path = f"/proc/{self.holder.pid}/ns/net"
        wait_until("a network namespace", lambda: os.readlink(path) != own)
        self.link = f"host{number}"
        peer = ("peer", "name", "up0", "netns", self.holder.pid)
        ip("link", "add", self.link, "type", "veth", *peer)
        ip("address", "add", f"198.18.{number}.1/30", "dev", self.link)
        ip("link", "set", self.link, "up")
        self.ip("address", "add", f"{self.address}/30", "dev", "up0")
        self.ip("link", "set", "up0", "up")
        self.ip("link", "set", "lo", "up")

    def inside(self) -> tuple[str, str]:
        return ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net")

    def ip(self, *command: object) -> None:
        done = run(*self.inside(), "ip", *command)
        assert done.returncode == 0, done.stderr

    def start(self, *command: object) -> subprocess.Popen[bytes]:
        return self.processes.start(*self.inside(), *command)

    def cut(self) -> None:
        """Nothing passes its link any more, in either direction, and nobody is told."""
        self.ip("link", "set", "up0", "down")

    def freeze(self) -> None:
        for process in (self.daemon, *self.agents):
            process.send_signal(signal.SIGSTOP)

    def kill_daemon(self) -> None:
        self.daemon.kill()
