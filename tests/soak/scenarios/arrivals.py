"""Agents come and go: each exit is reported once, with its cause; a stall and a recovery too."""

from collections import Counter

from agents import ENDINGS, ended_as, mortal
from machine import IS_ROOT, check, kernel
from scenario import Scenario, go_on, stop

AT_ONCE = 56


class Arrivals(Scenario):
    name = "agents come and go"

    def start(self) -> None:
        self.expected: Counter[tuple[int, int]] = Counter()
        self.stopped = self.healthy.pids[-1]
        self.disturbed.add(self.stopped)
        self.stops = 0

    def disturb(self) -> None:
        stop(self.stopped)
        endings = [ENDINGS[number % len(ENDINGS)] for number in range(AT_ONCE)]
        pids = [mortal(self.daemon.socket, ending) for ending in endings]
        for pid, ending in zip(pids, endings):
            check(ended_as(pid) == ending, f"process {pid} did not end with {ending}")
            self.expected[pid, ending] += 1
        self.sent += len(pids)
        self.stops += 1
        self.events.wait_for("stall", [self.stopped], self.stops)
        go_on(self.stopped)
        self.events.wait_for("recovered", [self.stopped], self.stops)

    def check(self) -> None:
        self.events.wait_for("exit", [pid for pid, _ in self.expected])
        told: Counter[tuple[int, int | None]] = Counter()
        for event in self.events.where(lambda event: event["event"] == "exit"):
            cause = event.get("code", -event["signal"] if "signal" in event else None)
            told[event["pid"], cause] += 1
        if not IS_ROOT or kernel() < (6, 15):
            # The cause is known only to those who may ask for it.
            self.expected = without_cause(self.expected)
            told = without_cause(told)
        wrong = (told - self.expected) + (self.expected - told)
        text = f"{len(wrong)} exits were reported never, twice or wrongly: {wrong.most_common(3)}"
        check(not wrong, text)
        pids = {pid for pid, _ in self.expected}
        stalls = self.events.where(lambda event: event["event"] == "stall")
        stalls = [event for event in stalls if event["pid"] in pids]
        check(not stalls, f"processes that had ended were called stalled: {stalls[:2]}")


def without_cause(exits: Counter) -> Counter:
    return Counter((pid, None) for pid, _ in exits.elements())
