"""Processes that send heartbeats: healthy ones, and ones that end in a given way."""

import mmap
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from frames import frame
from machine import die_with_parent, wait_until


def fork(run: Callable[[], None], uid: int | None = None) -> int:
    """Starts a child that runs `run` and exits with 0, or with 70 if that raises."""
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                die_with_parent()  # The kernel clears this when the user changes.
            run()
            os._exit(0)
        finally:
            os._exit(70)
    return pid


def datagram_socket(timeout: float | None = None) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.settimeout(timeout)
    return opened


@dataclass
class Account:
    """What a healthy agent has recorded about itself."""

    attempts: int
    sent: int
    late: int
    """How often it was held up itself for longer than the threshold before it could send."""


class Healthy:
    """Agents that send a heartbeat every `interval` seconds for as long as they run.

    Each records its account in shared memory. A stall is false unless the agent itself was late. A
    heartbeat that a full queue refused counts as sent in time.
    """

    _ROW = struct.Struct("QQQ")

    def __init__(self, path: Path, count: int, interval: float, threshold: float):
        self._interval, self._threshold = interval, int(threshold * 1e9)
        self._count = count
        self._accounts = mmap.mmap(-1, max(1, count) * self._ROW.size)
        self._end, child_end = os.pipe()
        # An agent runs until the other end of this pipe is closed.
        self._end, child_end = child_end, self._end
        os.set_blocking(child_end, False)
        self.pids = [fork(lambda: self._run(path, row, child_end)) for row in range(count)]
        os.close(child_end)

    def _run(self, path: Path, row: int, end: int) -> None:
        os.close(self._end)
        pid, opened = os.getpid(), datagram_socket(0.0)
        attempts = sent = late = 0
        before = time.monotonic_ns()
        while True:
            last, before = before, time.monotonic_ns()
            attempts += 1
            try:
                opened.sendto(frame(pid, attempts), str(path))
                sent += 1
            except OSError:
                pass  # The queue is full, or the daemon is restarting.
            late += time.monotonic_ns() - last >= self._threshold
            self._ROW.pack_into(self._accounts, row * self._ROW.size, attempts, sent, late)
            try:
                if os.read(end, 1) == b"":
                    return
            except BlockingIOError:
                time.sleep(self._interval)

    def account(self, row: int) -> Account:
        return Account(*self._ROW.unpack_from(self._accounts, row * self._ROW.size))

    def accounts(self) -> dict[int, Account]:
        return {pid: self.account(row) for row, pid in enumerate(self.pids)}

    def wait_for_attempts(self, more: int) -> None:
        """Waits until each agent has tried to send this many more times."""
        goals = [self.account(row).attempts + more for row in range(len(self.pids))]
        tried = lambda: all(self.account(row).attempts >= goal for row, goal in enumerate(goals))
        wait_until("attempts of all healthy agents", tried)

    def alive(self) -> list[int]:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return [pid for pid in self.pids if os.waitid(os.P_PID, pid, options) is None]

    def end(self) -> int:
        """Makes all of them exit with 0, and returns how many datagrams they sent in total."""
        if self._end >= 0:
            os.close(self._end)
            self._end = -1
            for pid in self.pids:
                os.waitpid(pid, 0)
        return sum(self.account(row).sent for row in range(self._count))


ENDINGS = [0, 1, 7, 255, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGSEGV]
"""Exit codes, and signals as negative numbers."""


def mortal(path: Path, ending: int, uid: int | None = None) -> int:
    """Starts a process that sends one heartbeat and ends."""

    def run() -> None:
        datagram_socket().sendto(frame(os.getpid(), 1), str(path))
        if ending < 0:
            os.kill(os.getpid(), -ending)
        os._exit(ending)

    return fork(run, uid)


def ended_as(pid: int) -> int:
    """Waits for a child; returns its exit code, or its signal as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Job:
    """A process that sends one heartbeat, then no more, and exits with 0 on `end`."""

    def __init__(self, path: Path):
        wait_for, self._end = os.pipe()

        def run() -> None:
            os.close(self._end)
            datagram_socket().sendto(frame(os.getpid(), 1), str(path))
            os.read(wait_for, 1)

        self.pid = fork(run)
        os.close(wait_for)

    def end(self) -> int:
        os.close(self._end)
        return ended_as(self.pid)
