"""kill -9 of the daemon at any moment: the next start works, and no file is corrupt."""

import random
import time

import checks
from agents import ended_as, mortal
from scenario import Scenario

CRASHES = 12


class Kills(Scenario):
    name = "kill -9 of the daemon"
    # Each daemon counts anew, and what lay in the queue of the one before is gone with it.
    datagrams_are_exact = False
    least_rounds = 4

    def flags(self) -> list[str]:
        flags = ["--recovery-exec", "/bin/false", "--recovery-budget", "1000000"]
        flags += ["--recovery-backoff-ms", "1", "--recovery-backoff-max-ms", "1"]
        flags += ["--recovery-tries", "1000000", "--max-beat-rate", "0"]
        return [*flags, "--recovery-audit-max-bytes", "20000"]

    def start(self) -> None:
        self.random = random.Random()
        self.looks_first = False

    def disturb(self) -> None:
        load = self.flood(400)
        pids = [mortal(self.daemon.socket, 1) for _ in range(CRASHES)]
        for pid in pids:
            ended_as(pid)
        # Commands fail and start again all the time by now.
        time.sleep(self.random.uniform(0, 0.2))
        self.daemon.kill()
        # Every other time the next one starts at once, while commands of this one may still start.
        self.looks_first = not self.looks_first
        if self.looks_first:
            checks.whole_lines(self.export, ended=False)
            checks.audit_verifies(self.programs.watch, self.audit)
        self.daemon.start()
        self.sent_by([load])
        self.daemon.wait_until_followed(self.healthy.pids)
        self.level = self.measure()
