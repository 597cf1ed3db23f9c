"""The checks that follow every scenario."""

import json
import subprocess
from collections import Counter
from pathlib import Path

from agents import Healthy
from daemon import Daemon, Events
from machine import check, wait_until

SPARE_MEMORY = 16 << 20
"""How much a daemon may grow after its start: bounded tables fill, and the allocator keeps memory."""


class Level:
    """Memory and descriptors of a daemon, for a later comparison."""

    def __init__(self, daemon: Daemon, spare_memory: int):
        self._daemon, self._spare = daemon, spare_memory
        self.memory, self.descriptors = daemon.memory(), daemon.descriptors()

    def check(self) -> str:
        """Waits for the descriptors, because the daemon closes them soon but not at once."""
        level = lambda: self._daemon.descriptors() <= self.descriptors
        try:
            wait_until("descriptors", level, 30.0)
        except AssertionError:
            now = self._daemon.descriptors()
            check(False, f"descriptors went from {self.descriptors} to {now}")
        memory = self._daemon.memory()
        grown = (memory - self.memory) / 2**20
        text = f"memory went from {self.memory / 2**20:.1f} to {memory / 2**20:.1f} MiB"
        check(memory <= self.memory + self._spare, text)
        return f"{grown:+.1f} MiB"


def no_false_stall(events: Events, healthy: Healthy, except_for: set[int]) -> int:
    """Returns the number of correct stalls: those of agents that were held up themselves."""
    dead = set(healthy.pids) - set(healthy.alive())
    check(not dead, f"healthy agents were killed: {dead}")
    healthy.wait_for_attempts(1)
    accounts = healthy.accounts()
    # A stall that is marked `deaf` starts no recovery.
    stalls = events.where(lambda event: event["event"] == "stall" and not event.get("deaf"))
    stalled = Counter(event["pid"] for event in stalls if event["pid"] in accounts)
    for pid in set(stalled) - except_for:
        late = accounts[pid].late
        text = f"healthy agent {pid} was late {late} times, but stalled {stalled[pid]} times"
        check(stalled[pid] <= late, text)
    exits = events.where(lambda event: event["event"] == "exit" and event["pid"] in accounts)
    check(not exits, f"live agents were reported as exited: {exits[:2]}")
    return sum(count for pid, count in stalled.items() if pid not in except_for)


def counts(daemon: Daemon, sent: int | None) -> None:
    """Each received datagram must be in one counter, and each that the kernel accepted was received.

    Call it when nothing sends any more. `sent` is None if a network may have lost some.
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
        f"{received} datagrams were received, but {beats} beats and {dropped} drops were counted",
    )


def generations(path: Path) -> list[Path]:
    """A file and its rotated predecessors, the oldest first."""
    numbered = [path.with_name(f"{path.name}.{number}") for number in range(9, 0, -1)]
    return [file for file in [*numbered, path] if file.exists()]


def whole_lines(path: Path, ended: bool = True) -> int:
    """Each line of an export file must be an object. A killed daemon may leave a partial line."""
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
