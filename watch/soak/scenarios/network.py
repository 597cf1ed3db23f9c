"""UDP: forged frames must not use up memory or evict real agents, and recordings must not count."""

import socket
import subprocess
import time

from frames import frame
from machine import check, die_with_parent, wait_until
from scenario import Scenario

FIRST_PID = 1_000_000
NONCES = [1, 2**63 - 1, 2**64 - 3, 2**63 - 4]
"""With these nonces, more heartbeats are missing than 64 bits can count."""


class Udp(Scenario):
    datagrams_are_exact = False

    def flags(self) -> list[str]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        return ["--udp-port", str(self.port), "--udp-bind-addr", "127.0.0.1"]

    def socket_of(self, source: str) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((source, 0))
        opened.connect(("127.0.0.1", self.port))
        return opened


class ForgedUdp(Udp):
    name = "forged UDP"
    threshold_ms = 10
    healthy_agents = 0
    exports = False
    least_rounds = 8
    # The statistics of evicted agents are kept until they are found. On a fast machine that is more
    # than the start has filled.
    spare_memory = 64 << 20
    CAPACITY = 32_768
    AT_ONCE = 20_000

    def flags(self) -> list[str]:
        quiet = ["--log-level", "error", "--tracker-capacity", str(self.CAPACITY)]
        return [*super().flags(), *quiet, "--i-accept-plaintext-udp"]

    def start(self) -> None:
        self.sender = self.socket_of("127.0.0.1")
        for nonce in NONCES:
            self.sender.send(frame(77, nonce))
        # Two crowds in turn: each evicts the other, and consists of new agents when it returns.
        first, second = range(FIRST_PID, FIRST_PID + 2 * self.AT_ONCE, self.AT_ONCE)
        crowds = [range(first, second), range(second, second + self.AT_ONCE)]
        self.crowds = [[frame(pid, 1) for pid in crowd] for crowd in crowds]
        # Fills all the room for forged agents, and the statistics that are kept for a second.
        for _ in range(6):
            self.disturb()

    def disturb(self) -> None:
        """Sends one crowd. No snapshot is requested, because that would remove old statistics."""
        # Agents of the previous round can be evicted after ten thresholds.
        time.sleep(0.15)
        for number, datagram in enumerate(self.crowds[0]):
            self.sender.send(datagram)
            if number % 256 == 255:
                time.sleep(0.001)
        self.crowds.reverse()

    def measure(self):
        level = super().measure()
        self.evicted = self.daemon.metrics().sum("varta_tracker_evicted_total")
        return level

    def check(self) -> None:
        # Before the first snapshot.
        self.level.check()
        metrics = self.daemon.metrics()
        tracked = metrics.sum("varta_watch_pids_tracked")
        check(tracked <= self.CAPACITY // 2, f"{tracked} forged agents are tracked")
        evicted = metrics.sum("varta_tracker_evicted_total") - self.evicted
        check(evicted >= self.AT_ONCE, f"only {evicted} agents were evicted")


class SealedUdp(Udp):
    name = "sealed UDP, recorded and sent again"
    SOURCES = [f"127.0.0.{number}" for number in range(2, 42)]

    def flags(self) -> list[str]:
        self.key = self.folder / "key"
        self.key.touch(0o600)
        self.key.write_text("5a" * 32 + "\n")
        return [*super().flags(), "--key-file", str(self.key)]

    def start(self) -> None:
        self.recorded: list[bytes] = []
        # The agent sends to the attacker, which forwards everything and keeps a copy.
        self.relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.relay.bind(("127.0.0.1", 0))
        self.relay.settimeout(60.0)
        self.attackers = [self.socket_of(source) for source in ["127.0.0.1", *self.SOURCES]]
        self.replays = 0
        port = self.relay.getsockname()[1]
        endpoint = f"udp+secure://127.0.0.1:{port}?key-file={self.key}"
        numbers = ["20000", "0", "100000000"]
        self.agent = subprocess.Popen(
            [self.programs.steady, endpoint, *numbers],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        self.forward(4)

    def forward(self, count: int) -> None:
        for _ in range(count):
            datagram = self.relay.recv(2048)
            self.attackers[0].send(datagram)
            self.recorded.append(datagram)

    def disturb(self) -> None:
        self.forward(10)
        for attacker in self.attackers:
            for datagram in self.recorded[-8:] + self.recorded[:4]:
                attacker.send(datagram)
                self.replays += 1
                broken = bytearray(datagram)
                broken[self.replays % len(broken)] ^= 1
                attacker.send(broken)

    def secure_agents(self) -> list[dict]:
        report = self.daemon.agents()["agents"]
        return [agent for agent in report if agent["origin"] == "secure-network"]

    def check(self) -> None:
        agents = wait_until("the sealed agent", self.secure_agents)
        check(len(agents) == 1, f"one agent and its recording became {len(agents)} agents")
        check(agents[0]["claimed_pid"] == self.agent.pid, f"{agents[0]} is not the agent")
        beats = agents[0]["beats"]
        sent = len(self.recorded)
        check(0 < beats <= sent, f"{sent} datagrams became {beats} beats")
        refused = self.daemon.metrics().labelled("varta_dropped_total", "reason", "replay")
        check(refused > 0, "no replay was counted")

    def discard(self) -> None:
        if hasattr(self, "agent"):
            self.agent.kill()
            self.agent.wait()
        super().discard()
