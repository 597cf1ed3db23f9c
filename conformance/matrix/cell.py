"""One cell of the matrix: an agent beats, forks and is killed; an observer says what it saw."""

import json
import os
import queue
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

PATIENCE = 60.0
THRESHOLD_MS = 1000

BEFORE = [("ok", 1), ("degraded", 4294967295), ("critical", 7), ("ok", 0)]
CHILD = [("ok", 101), ("degraded", 102)]
AFTER = [("ok", 8), ("ok", 9)]

TRANSPORTS = {
    "uds": "Unix socket",
    "udp": "UDP",
    "key": "sealed UDP, shared key",
    "master": "sealed UDP, master key",
}


class Child(Enum):
    """What an agent does in a forked child; all but the first are defects of published parts."""

    COUNTS_ANEW = ""
    GOES_ON = "its forked child does not count anew"
    UNHEARD = "its forked child is told Sent, but sealed with its parent's key: nobody can open it"


class Disagreement(Exception):
    """What one side says and the other does not."""


@dataclass(frozen=True)
class Place:
    """Where a cell's agent and observer meet."""

    transport: str
    folder: Path
    port: int

    @classmethod
    def make(cls, transport: str, folder: Path) -> "Place":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        place = cls(transport, folder, port)
        place.key.touch(mode=0o600)
        place.key.write_text(secrets.token_hex(32) + "\n")
        return place

    @property
    def socket(self) -> Path:
        return self.folder / "varta.sock"

    def bound(self) -> bool:
        if self.transport == "uds":
            return self.socket.exists()
        return f":{self.port:04X} " in Path("/proc/net/udp").read_text()

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def endpoint(self) -> str:
        match self.transport:
            case "uds":
                return str(self.socket)
            case "udp":
                return f"udp://127.0.0.1:{self.port}"
            case "key":
                return f"udp+secure://127.0.0.1:{self.port}?key-file={self.key}"
            case _:
                return f"udp+secure://127.0.0.1:{self.port}?master-key-file={self.key}"


Beats = dict[int, list[tuple[str, int, int]]]


@dataclass
class Account:
    """What happened, as one side has it: by process, the beats and how it ended."""

    beats: Beats = field(default_factory=dict)
    ends: dict[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = []
        for pid, beats in sorted(self.beats.items()):
            said = ", ".join(f"{status} {payload} (nonce {nonce})" for status, payload, nonce in beats)
            lines.append(f"      {pid}: {said}; {self.ends.get(pid, 'goes on')}")
        return "\n".join(lines) or "      nothing"


class Watched:
    """An observer at work, that says each event as a line of JSON."""

    def __init__(self, command: list[str]):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said: list[dict] = []
        self.changed = threading.Condition()
        self.ready = False
        threading.Thread(target=self._listen, daemon=True).start()
        if not self._wait(lambda: self.ready or self.process.poll() is not None) or not self.ready:
            self.process.kill()
            raise Disagreement(f"the observer does not start: {self.process.stderr.read()}")

    def _listen(self) -> None:
        for line in self.process.stdout:
            with self.changed:
                if line.startswith("ready"):
                    self.ready = True
                else:
                    self.said.append(json.loads(line))
                self.changed.notify_all()

    def _wait(self, met: Callable[[], bool]) -> bool:
        with self.changed:
            return self.changed.wait_for(met, PATIENCE)

    def account(self) -> Account:
        seen = Account()
        for event in list(self.said):
            match event:
                case {"kind": "beat", "pid": pid, "status": status, "payload": payload, "nonce": nonce}:
                    seen.beats.setdefault(pid, []).append((status, payload, nonce))
                    # Whoever beats has not ended, whatever a slow machine had to say before.
                    seen.ends.pop(pid, None)
                case {"kind": "exit", "pid": pid, "code": code}:
                    seen.ends[pid] = f"exit {code}"
                case {"kind": "exit", "pid": pid, "signal": number}:
                    seen.ends[pid] = f"signal {number}"
                case {"kind": "stall", "pid": pid}:
                    seen.ends[pid] = "silent"
        return seen

    def hears(self, beats: Beats) -> bool:
        return self._wait(lambda: self.account().beats == beats)

    def sees(self, expected: Account) -> bool:
        return self._wait(lambda: self.account() == expected)

    def counters(self) -> dict:
        """Ends it; says what it has counted."""
        self.process.stdin.close()
        if not self._wait(lambda: bool(self.said) and "received" in self.said[-1]):
            raise Disagreement("the observer does not say what it has counted")
        self.process.wait(PATIENCE)
        return self.said[-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Exporting:
    """A daemon at work, that writes an export file."""

    def __init__(self, command: list[str], place: Place, flags: list[str], *, at_end: bool = False):
        # Version 0.1 writes when it ends, but says earlier who is stalled: by a command.
        self.at_end = at_end
        self.stalled = place.folder / "stalled"
        if at_end:
            flags = [*flags, "--recovery-cmd", f"echo {{pid}} >> {self.stalled}"]
        self.export = place.folder / "export"
        listen = ["--udp-port", str(place.port), "--udp-bind-addr", "127.0.0.1"]
        where = {
            "uds": [],
            "udp": [*listen, "--i-accept-plaintext-udp"],
            "key": [*listen, "--key-file", str(place.key)],
            "master": [*listen, "--master-key-file", str(place.key)],
        }
        self.process = subprocess.Popen(
            [*command, "--socket", str(place.socket), "--threshold-ms", str(THRESHOLD_MS)]
            + ["--export-file", str(self.export), *flags, *where[place.transport]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if not self._wait(place.bound):
            self.close()
            raise Disagreement("the daemon does not start")

    def _wait(self, met: Callable[[], bool]) -> bool:
        until = time.monotonic() + PATIENCE
        while not met():
            if time.monotonic() > until or self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def rows(self) -> Iterator[list[str]]:
        if self.export.exists():
            for line in self.export.read_text().splitlines():
                row = line.split("\t")
                if len(row) >= 6:
                    yield row

    def account(self) -> Account:
        seen = Account()
        for _, kind, pid, nonce, status, payload, *_ in self.rows():
            if kind == "beat":
                beat = (status, int(payload), int(nonce))
                seen.beats.setdefault(int(pid), []).append(beat)
                seen.ends.pop(int(pid), None)
            elif kind == "stall":
                seen.ends[int(pid)] = "silent"
        return seen

    def hears(self, beats: Beats) -> bool:
        return self.at_end or self._wait(lambda: self.account().beats == beats)

    def sees(self, expected: Account) -> bool:
        if self.at_end:
            silent = {str(pid) for pid in expected.ends}
            self._wait(lambda: self.stalled.exists() and silent <= set(self.stalled.read_text().split()))
            self.close()
            return self.account() == expected
        return self._wait(lambda: self.account() == expected)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Puppet:
    """An agent that does as it is told, and what it has done so far."""

    def __init__(self, command: list[str], endpoint: str):
        self.process = subprocess.Popen(
            [*command, endpoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.did = Account()
        self.pid = int(self._answer("ready").split()[1])
        self.nonce = 0

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


def play(
    agent: list[str], observe: Callable[[Place], Watched | Exporting], place: Place, child_does: Child
) -> None:
    """Beats, forks, beats, is killed; the accounts of both sides have to agree."""
    observer = observe(place)
    try:
        puppet = Puppet(agent, place.endpoint)
        try:
            puppet.beat(BEFORE)
            child = puppet.fork(child_does)
            # An observer that looks up each sender has to hear a process while it lives.
            told = dict(puppet.did.beats)
            if child_does is Child.UNHEARD:
                del told[child]
            agree(observer.hears(told), puppet, observer)
            puppet.end_child()
            puppet.beat(AFTER)
            agree(observer.hears(told), puppet, observer)
        finally:
            puppet.kill()
        # An exit is seen where the kernel names the sender, by those who look.
        exits = place.transport == "uds" and isinstance(observer, Watched)
        puppet.did.ends = {
            puppet.pid: "signal 9" if exits else "silent",
            child: "exit 0" if exits else "silent",
        }
        if child_does is Child.UNHEARD:
            del puppet.did.beats[child], puppet.did.ends[child]
        agree(observer.sees(puppet.did), puppet, observer)
        if isinstance(observer, Watched):
            sent = sum(map(len, puppet.did.beats.values()))
            counted = observer.counters()
            unheard = len(CHILD) if child_does is Child.UNHEARD else 0
            if (counted["beats"], counted["received"]) != (sent, sent + unheard):
                raise Disagreement(f"{sent} beats were sent, the observer counted {counted}")
    finally:
        observer.close()


def agree(they_do: bool, puppet: Puppet, observer: Watched | Exporting) -> None:
    if not they_do:
        raise Disagreement(f"the agent did\n{puppet.did}\n    the observer saw\n{observer.account()}")
