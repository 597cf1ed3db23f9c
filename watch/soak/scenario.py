"""The base of every scenario: a daemon with healthy agents, and something that disturbs it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import checks
import machine
from agents import Healthy
from daemon import Daemon, Events


@dataclass(frozen=True)
class Programs:
    watch: Path
    flood: Path
    steady: Path


class Scenario:
    """One daemon, disturbed again and again. See watch/soak/README.md."""

    name = ""
    threshold_ms = 1000
    healthy_agents = 5
    interval = 0.1
    most_descriptors: int | None = None
    queue = 10
    exports = True
    """Whether the daemon writes an export file, which the checks of stalls and exits read."""
    datagrams_are_exact = True
    """Whether `sent` and the healthy agents account for every datagram."""
    least_rounds = 1
    spare_memory = checks.SPARE_MEMORY

    def __init__(self, programs: Programs, folder: Path):
        self.programs, self.folder = programs, folder
        self.export, self.audit = folder / "export", folder / "audit"
        self.events = Events(self.export)
        self.sent = 0
        """Datagrams that were sent by anything but the healthy agents."""
        self.disturbed: set[int] = set()
        """Healthy agents that the scenario itself stops at times."""
        flags = ["--threshold-ms", str(self.threshold_ms), "--log-format", "json"]
        # Processes are stopped to make them silent, and recovery must start for them.
        flags += ["--causes", "off"]
        flags += ["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-per-sec", "0"]
        flags += ["--recovery-audit-file", str(self.audit)]
        if self.exports:
            flags += ["--export-format", "json", "--export-file", str(self.export)]
        flags += self.flags()
        self.daemon = Daemon(programs.watch, folder, flags, self.most_descriptors)

    # Overridden by each scenario.

    def flags(self) -> list[str]:
        """Additional flags of the daemon."""
        return []

    def start(self) -> None:
        """Brings the daemon into the state whose memory and descriptors it must keep."""

    def disturb(self) -> None:
        """Runs one round. Called again and again until the time is up."""

    def check(self) -> None:
        """Checks the scenario's own conditions after the last round, in addition to `checks`."""

    # Common to all scenarios.

    def run(self, goes_on: Callable[[], bool]) -> str:
        """Returns a summary; raises Failed if a check fails."""
        try:
            return self.run_to_end(goes_on)
        except OSError:
            # Most likely because the daemon has ended.
            self.daemon.check_alive(patience=5.0)
            raise

    def run_to_end(self, goes_on: Callable[[], bool]) -> str:
        machine.set_queue(self.queue)
        self.daemon.start()
        self.healthy = Healthy(
            self.daemon.socket, self.healthy_agents, self.interval, self.threshold_ms / 1000
        )
        if self.healthy.pids:
            self.daemon.wait_until_tracked(self.healthy.pids)
        self.start()
        self.level = self.measure()
        rounds = 0
        while rounds < self.least_rounds or goes_on():
            self.disturb()
            self.daemon.check_alive()
            rounds += 1
        self.check()
        grown = self.level.check()
        held_up = checks.no_false_stall(self.events, self.healthy, self.disturbed)
        sent = self.sent + self.healthy.end()
        checks.counts(self.daemon, sent if self.datagrams_are_exact else None)
        self.daemon.end()
        checks.whole_lines(self.export)
        checks.audit_verifies(self.programs.watch, self.audit)
        note = f", {held_up} stalls of agents that the machine held up" if held_up else ""
        return f"{rounds} rounds, {grown}{note}"

    def measure(self) -> checks.Level:
        """Measures after one request of each kind, so that all buffers are allocated."""
        for path in ("/metrics", "/agents", "/", "/healthz"):
            self.daemon.get(path)
        return checks.Level(self.daemon, self.spare_memory)

    def discard(self) -> None:
        """Ends what still runs after a failure."""
        self.daemon.discard()
        if hasattr(self, "healthy"):
            self.healthy.end()

    def script(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def flood(self, milliseconds: int, uid: int | None = None) -> subprocess.Popen:
        """Starts a process that sends as fast as it can; `sent_by` ends it."""
        # Copied to a folder that any user can reach.
        program = self.folder / "flood"
        if not program.exists():
            shutil.copy(self.programs.flood, program)
        user = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        command = [program, self.daemon.socket, str(milliseconds)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, preexec_fn=machine.die_with_parent, **user
        )

    def sent_by(self, floods: list[subprocess.Popen]) -> None:
        for flood in floods:
            output, _ = flood.communicate(timeout=machine.PATIENCE)
            machine.check(flood.returncode == 0, f"flood ended with {flood.returncode}")
            self.sent += int(output)


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def go_on(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)
