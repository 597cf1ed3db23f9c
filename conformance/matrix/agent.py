"""Runs an agent program and records what it did."""

import os
import queue
import signal
import subprocess
import threading
from enum import Enum
from pathlib import Path

from log import Log, Mismatch

PATIENCE = 60.0
CHILD = [("ok", 101), ("degraded", 102)]


class Child(Enum):
    """How an agent behaves in a forked child. All but the first are defects of varta 0.1 and 0.2."""

    COUNTS_FROM_ONE = ""
    KEEPS_COUNTING = "its forked child does not count from 1"
    UNREADABLE = "its forked child seals with its parent's key, so its beats cannot be opened"


class Agent:
    """An agent program, and the log of what it has done so far."""

    def __init__(self, command: list[str], endpoint: str):
        self.process = subprocess.Popen(
            [*command, endpoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.log = Log()
        self.nonce = 0
        try:
            self.pid = int(self._answer("ready").split()[1])
        except Mismatch:
            self.kill()
            raise

    def _read(self) -> None:
        for line in self.process.stdout:
            self.answers.put(line.rstrip())
        self.answers.put("")

    def _answer(self, command: str) -> str:
        try:
            answer = self.answers.get(timeout=PATIENCE)
        except queue.Empty:
            raise Mismatch(f"the agent does not answer {command!r}") from None
        if not answer:
            raise Mismatch(f"the agent exited at {command!r}: {self.process.stderr.read()}")
        return answer

    def _send(self, command: str) -> str:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer(command)

    def beat(self, beats: list[tuple[str, int]]) -> None:
        for status, payload in beats:
            outcome = self._send(f"beat {status} {payload}")
            if outcome.lower() != "sent":
                raise Mismatch(f"the beat {status} {payload} was {outcome}")
            self.nonce += 1
            self.log.beats.setdefault(self.pid, []).append((status, payload, self.nonce))

    def fork(self, behavior: Child) -> int:
        """Forks a child, which beats and waits until `end_child`. Returns its pid."""
        child, pid, *outcomes = self._send("fork").split()
        if child != "child" or [outcome.lower() for outcome in outcomes] != ["sent"] * len(CHILD):
            raise Mismatch(f"the child's beats were {outcomes}")
        first = self.nonce + 1 if behavior is Child.KEEPS_COUNTING else 1
        self.log.beats[int(pid)] = [(*beat, nonce) for nonce, beat in enumerate(CHILD, first)]
        return int(pid)

    def has_page(self) -> bool:
        """Whether it has mapped shared memory of an observer."""
        return "/memfd:varta" in Path(f"/proc/{self.pid}/maps").read_text()

    def end_child(self) -> None:
        self._send("end")

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
