"""Floods of datagrams from admitted and other users: recovery must not act on healthy agents."""

import random

from agents import datagram_socket
from frames import frame
from machine import IS_ROOT, NOBODY, check
from scenario import Scenario

FLOOD_MS = 2000
LONGEST = 212_000


class Flood(Scenario):
    threshold_ms = 500
    healthy_agents = 10

    def flags(self) -> list[str]:
        return ["--socket-mode", "0666", "--uids", "same", "--recovery-exec", "/bin/true"]

    def start(self) -> None:
        self.random = random.Random(13)

    def disturb(self) -> None:
        # Only root can send as another user.
        users = [None, NOBODY, NOBODY] if IS_ROOT else [None, None]
        floods = [self.flood(FLOOD_MS, uid) for uid in users]
        self.send_junk()
        self.sent_by(floods)

    def send_junk(self) -> None:
        """Sends datagrams of various lengths, and frames with one flipped bit."""
        lengths = [0, 1, 31, 32, 33, 64, 4096, LONGEST]
        junk = [self.random.randbytes(length) for length in lengths]
        for _ in range(16):
            changed = bytearray(frame(1234, 5))
            changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
            junk.append(bytes(changed))
        with datagram_socket(timeout=60.0) as opened:
            for datagram in junk:
                opened.sendto(datagram, str(self.daemon.socket))
        self.sent += len(junk)

    def check(self) -> None:
        """At most one command for each stall that the machine itself caused."""
        self.healthy.wait_for_attempts(1)
        spawned = self.events.where(lambda event: event.get("step") == "spawned")
        for pid, account in self.healthy.accounts().items():
            runs = sum(event["pid"] == pid for event in spawned)
            check(runs <= account.late, f"{runs} commands were run for healthy agent {pid}")


class FloodOfALongQueue(Flood):
    name = "floods, queue of 4096"
    queue = 4096


class FloodOfAShortQueue(Flood):
    name = "floods, queue of 10"
    queue = 10
