"""What must hold after every scenario, whatever it did."""

import json
import subprocess
from collections import Counter
from pathlib import Path

from agents import Healthy
from daemon import Daemon, Events
from machine import check, wait_until

SPARE_MEMORY = 16 << 20
"""How much a daemon may grow after its start: bounded tables fill, and the allocator keeps some."""


class Level:
    """Memory and descriptors of a daemon, to be compared later."""

    def __init__(self, daemon: Daemon):
        self._daemon = daemon
        self.memory, self.descriptors = daemon.memory(), daemon.descriptors()

    def check(self) -> str:
        """What ended is let go of soon, but not at once."""
        level = lambda: self._daemon.descriptors() <= self.descriptors
        try:
            wait_until("descriptors", level, 30.0)
        except AssertionError:
            now = self._daemon.descriptors()
            check(False, f"descriptors went from {self.descriptors} to {now}")
        memory = self._daemon.memory()
        grown = (memory - self.memory) / 2**20
        text = f"memory went from {self.memory / 2**20:.1f} to {memory / 2**20:.1f} MiB"
        check(memory <= self.memory + SPARE_MEMORY, text)
        return f"{grown:+.1f} MiB"


def no_false_stall(events: Events, healthy: Healthy, except_for: set[int]) -> int:
    """Returns how many stalls were right, because the agents themselves had been held up."""
    dead = set(healthy.pids) - set(healthy.alive())
    check(not dead, f"healthy agents were killed: {dead}")
    healthy.wait_for_attempts(1)
    accounts = healthy.accounts()
    # A stall that is marked as heard by a deaf observer is no reason to act.
    stalls = events.where(lambda event: event["event"] == "stall" and not event.get("deaf"))
    of = Counter(event["pid"] for event in stalls if event["pid"] in accounts)
    for pid in set(of) - except_for:
        late = accounts[pid].late
        told = f"healthy agent {pid} was late {late} times, and stalled {of[pid]} times"
        check(of[pid] <= late, told)
    exits = events.where(lambda event: event["event"] == "exit" and event["pid"] in accounts)
    check(not exits, f"agents that live were called gone: {exits[:2]}")
    return sum(count for pid, count in of.items() if pid not in except_for)


def counts(daemon: Daemon, sent: int | None) -> None:
    """Each datagram received is in one counter; all that the kernel took was received.

    Nobody sends any more. `sent` is None where a network may have lost some.
    """
    totals = lambda: daemon.agents()["totals"]
    if sent is not None:
        last = {}

        def all_received() -> bool:
            last.update(totals())
            return last["received"] >= sent

        try:
            wait_until("datagrams", all_received)
        except AssertionError:
            pass
        check(last["received"] == sent, f"{sent} datagrams were sent, {last['received']} received")
    before, metrics = totals(), daemon.metrics()
    beats, dropped = before["beats"], metrics.sum("varta_dropped_total")
    dropped -= metrics.labelled("varta_dropped_total", "reason", "kernel")
    received = metrics.sum("varta_received_total")
    check(
        received == before["received"] == beats + dropped,
        f"{received} received are not {beats} beats and {dropped} dropped",
    )


def generations(path: Path) -> list[Path]:
    """A file and what it was before, the oldest first."""
    numbered = [path.with_name(f"{path.name}.{number}") for number in range(9, 0, -1)]
    return [file for file in [*numbered, path] if file.exists()]


def whole_lines(path: Path, ended: bool = True) -> int:
    """Each line of an export file is an object. A daemon that was killed may leave half a line."""
    found = 0
    for file in generations(path):
        text = file.read_bytes()
        *lines, rest = text.split(b"\n")
        check(rest == b"" or not ended, f"{file.name} ends in the middle of a line: {rest[:80]!r}")
        for line in lines:
            try:
                json.loads(line)
            except ValueError:
                check(False, f"{file.name} has a line that is not an object: {line[:80]!r}")
        found += len(lines)
    return found


def audit_verifies(binary: Path, path: Path) -> int:
    files = generations(path)
    verified = subprocess.run([binary, "audit", "verify", *files], capture_output=True, text=True)
    check(verified.returncode == 0, f"audit verify: {verified.stdout}{verified.stderr}")
    return sum(file.read_bytes().count(b"\n") for file in files)
