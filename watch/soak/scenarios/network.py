"""UDP: forged frames take no memory and end nothing, and a recording counts for nothing."""

import socket
import subprocess
import time

from frames import frame
from machine import check, die_with_parent, wait_until
from scenario import Scenario

FIRST_PID = 1_000_000
NONCES = [1, 2**63 - 1, 2**64 - 3, 2**63 - 4]
"""Together they miss more heartbeats than 64 bits count."""


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
    CAPACITY = 32_768
    AT_ONCE = 20_000

    def flags(self) -> list[str]:
        quiet = ["--log-level", "error", "--tracker-capacity", str(self.CAPACITY)]
        return [*super().flags(), *quiet, "--i-accept-plaintext-udp"]

    def start(self) -> None:
        self.sender = self.socket_of("127.0.0.1")
        for nonce in NONCES:
            self.sender.send(frame(77, nonce))
        # Two crowds in turn: each takes the room of the other, and is new when it comes back.
        first, second = range(FIRST_PID, FIRST_PID + 2 * self.AT_ONCE, self.AT_ONCE)
        crowds = [range(first, second), range(second, second + self.AT_ONCE)]
        self.crowds = [[frame(pid, 1) for pid in crowd] for crowd in crowds]
        # Fills all the room that forged agents may take, and what is kept of them for a second.
        for _ in range(6):
            self.disturb()

    def disturb(self) -> None:
        """Nobody asks for a snapshot meanwhile, which would tidy up."""
        # Those of the round before are gone after ten thresholds and make room.
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
        # Before anybody asks.
        self.level.check()
        metrics = self.daemon.metrics()
        followed = metrics.sum("varta_watch_pids_tracked")
        check(followed <= self.CAPACITY // 2, f"{followed} forged agents are followed")
        evicted = metrics.sum("varta_tracker_evicted_total") - self.evicted
        check(evicted >= self.AT_ONCE, f"only {evicted} agents came and went")


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
        # The agent sends to the attacker, who passes everything on and keeps a copy.
        self.between = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.between.bind(("127.0.0.1", 0))
        self.between.settimeout(60.0)
        self.attackers = [self.socket_of(source) for source in ["127.0.0.1", *self.SOURCES]]
        self.replays = 0
        port = self.between.getsockname()[1]
        endpoint = f"udp+secure://127.0.0.1:{port}?key-file={self.key}"
        numbers = ["20000", "0", "100000000"]
        self.agent = subprocess.Popen(
            [self.programs.steady, endpoint, *numbers],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        self.pass_on(4)

    def pass_on(self, count: int) -> None:
        for _ in range(count):
            datagram = self.between.recv(2048)
            self.attackers[0].send(datagram)
            self.recorded.append(datagram)

    def disturb(self) -> None:
        self.pass_on(10)
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
        heard = wait_until("the sealed agent", self.secure_agents)
        check(len(heard) == 1, f"a recording of one agent made {len(heard)}")
        check(heard[0]["claimed_pid"] == self.agent.pid, f"{heard[0]} is not the agent")
        beats = heard[0]["beats"]
        sent = len(self.recorded)
        check(0 < beats <= sent, f"{sent} datagrams became {beats} beats")
        refused = self.daemon.metrics().labelled("varta_dropped_total", "reason", "replay")
        check(refused > 0, "no replay was counted")

    def discard(self) -> None:
        if hasattr(self, "agent"):
            self.agent.kill()
            self.agent.wait()
        super().discard()
