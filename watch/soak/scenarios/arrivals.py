"""Agents start and end: each exit is reported once, with its cause, and so are a stall and a recovery."""

import time
from collections import Counter

from agents import ENDINGS, ended_as, mortal
from machine import IS_ROOT, check, kernel
from scenario import Scenario, go_on, stop

AT_ONCE = 56

IN_TIME = 0.05
"""An observer waits this long for the parent to reap; after that the cause may be unknown."""


class Arrivals(Scenario):
    name = "agents come and go"

    def start(self) -> None:
        self.expected: Counter[tuple[int, int]] = Counter()
        self.reaped_late: Counter[int] = Counter()
        self.stopped = self.healthy.pids[-1]
        self.disturbed.add(self.stopped)
        self.stops = 0

    def disturb(self) -> None:
        stop(self.stopped)
        began = time.monotonic()
        endings = [ENDINGS[number % len(ENDINGS)] for number in range(AT_ONCE)]
        pids = [mortal(self.daemon.socket, ending) for ending in endings]
        for pid, ending in zip(pids, endings):
            check(ended_as(pid) == ending, f"process {pid} did not end with {ending}")
            self.expected[pid, ending] += 1
            if time.monotonic() - began >= IN_TIME:
                self.reaped_late[pid] += 1
        self.sent += len(pids)
        self.stops += 1
        self.events.wait_for("stall", [self.stopped], self.stops)
        go_on(self.stopped)
        self.events.wait_for("recovered", [self.stopped], self.stops)

    def check(self) -> None:
        pids = Counter(pid for pid, _ in self.expected.elements())
        self.events.wait_for("exit", list(pids))
        exits = self.events.where(lambda event: event["event"] == "exit")
        reported = Counter(event["pid"] for event in exits)
        wrong = (reported - pids) + (pids - reported)
        check(not wrong, f"exits not reported exactly once, by pid: {wrong.most_common(5)}")
        unknown: Counter[int] = Counter()
        for event in exits:
            cause = event.get("code", -event["signal"] if "signal" in event else None)
            if cause is None:
                unknown[event["pid"]] += 1
            else:
                check(self.expected[event["pid"], cause] > 0, f"an exit has the wrong cause: {event}")
        if IS_ROOT and kernel() >= (6, 15):
            unknown -= self.reaped_late
            check(not unknown, f"exits with an unknown cause, by pid: {unknown.most_common(5)}")
        stalls = self.events.where(lambda event: event["event"] == "stall")
        stalls = [event for event in stalls if event["pid"] in pids]
        check(not stalls, f"processes that had ended were reported as stalled: {stalls[:2]}")
