"""kill -9 of the daemon at any moment: the next start must work, and no file may be corrupt."""

import random
import time

import checks
from agents import ended_as, mortal
from scenario import Scenario

CRASHES = 12


class Kills(Scenario):
    name = "kill -9 of the daemon"
    # Each daemon starts its counters at 0, and the queue of the previous one is lost with it.
    datagrams_are_exact = False
    least_rounds = 4

    def flags(self) -> list[str]:
        flags = ["--recovery-exec", "/bin/false", "--recovery-budget", "1000000"]
        flags += ["--recovery-backoff-ms", "1", "--recovery-backoff-max-ms", "1"]
        flags += ["--recovery-tries", "1000000", "--max-beat-rate", "0"]
        return [*flags, "--recovery-audit-max-bytes", "20000"]

    def start(self) -> None:
        self.random = random.Random()
        self.checks_first = False

    def disturb(self) -> None:
        load = self.flood(400)
        pids = [mortal(self.daemon.socket, 1) for _ in range(CRASHES)]
        for pid in pids:
            ended_as(pid)
        # By now commands fail and are retried all the time.
        time.sleep(self.random.uniform(0, 0.2))
        self.daemon.kill()
        # Every other time the next daemon starts at once, while this one's commands may still be starting.
        self.checks_first = not self.checks_first
        if self.checks_first:
            checks.whole_lines(self.export, ended=False)
            checks.audit_verifies(self.programs.watch, self.audit)
        self.daemon.start_after_kill()
        self.sent_by([load])
        self.daemon.wait_until_tracked(self.healthy.pids)
        self.level = self.measure()
