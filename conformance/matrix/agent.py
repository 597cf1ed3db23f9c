"""An agent on strings."""

import os
import queue
import signal
import subprocess
import threading
from enum import Enum

from log import Account, Disagreement

PATIENCE = 60.0
CHILD = [("ok", 101), ("degraded", 102)]


class Child(Enum):
    """What an agent does in a forked child; all but the first are defects of published parts."""

    COUNTS_ANEW = ""
    GOES_ON = "its forked child does not count anew"
    UNHEARD = "its forked child is told Sent, but sealed with its parent's key: nobody can open it"


class Puppet:
    """An agent that does as it is told, and what it has done so far."""

    def __init__(self, command: list[str], endpoint: str):
        self.process = subprocess.Popen(
            [*command, endpoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.did = Account()
        self.nonce = 0
        try:
            self.pid = int(self._answer("ready").split()[1])
        except Disagreement:
            self.kill()
            raise

    def _listen(self) -> None:
        for line in self.process.stdout:
            self.answers.put(line.rstrip())
        self.answers.put("")

    def _answer(self, asked: str) -> str:
        try:
            answer = self.answers.get(timeout=PATIENCE)
        except queue.Empty:
            raise Disagreement(f"the agent does not answer {asked!r}") from None
        if not answer:
            raise Disagreement(f"the agent ended at {asked!r}: {self.process.stderr.read()}")
        return answer

    def _tell(self, command: str) -> str:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer(command)

    def beat(self, beats: list[tuple[str, int]]) -> None:
        for status, payload in beats:
            outcome = self._tell(f"beat {status} {payload}")
            if outcome.lower() != "sent":
                raise Disagreement(f"the beat {status} {payload} was {outcome}")
            self.nonce += 1
            self.did.beats.setdefault(self.pid, []).append((status, payload, self.nonce))

    def fork(self, does: Child) -> int:
        """Leaves a child behind that has beaten, and ends when it is told to."""
        child, pid, *outcomes = self._tell("fork").split()
        if child != "child" or [outcome.lower() for outcome in outcomes] != ["sent"] * len(CHILD):
            raise Disagreement(f"the child's beats were {outcomes}")
        first = self.nonce + 1 if does is Child.GOES_ON else 1
        self.did.beats[int(pid)] = [(*beat, nonce) for nonce, beat in enumerate(CHILD, first)]
        return int(pid)

    def end_child(self) -> None:
        self._tell("end")

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
