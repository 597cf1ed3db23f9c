"""Recovery after many refused agents: the next command must still get a pidfd and its turn."""

import signal

from agents import Job, ended_as, mortal
from machine import IS_ROOT, NOBODY, check, wait_until
from scenario import Scenario, stop

JOBS = 8
CRASHERS = 40
BUDGET = 4


class Recovery(Scenario):
    name = "recovery beside refused agents"
    threshold_ms = 200
    interval = 0.03
    most_descriptors = 256

    def flags(self) -> list[str]:
        self.runs = self.folder / "runs"
        line = f'echo "$VARTA_PID $VARTA_CAUSE ${{VARTA_PIDFD:-none}}" >> {self.runs}'
        self.victim = self.folder / "victim"
        kill = f'grep -qx "$VARTA_PID" {self.victim} && exec {self.programs.watch} signal KILL'
        command = self.script("recover", f"{line}\n{kill}\nexit 0")
        flags = ["--recovery-exec", str(command), "--uids", "any" if IS_ROOT else "same"]
        flags += ["--recovery-budget", str(BUDGET), "--recovery-budget-window-ms", "2000"]
        return [*flags, "--socket-mode", "0666"]

    def start(self) -> None:
        self.runs.touch()
        self.service = self.healthy.pids[-1]
        self.victim.write_text(f"{self.service}\n")

    def disturb(self) -> None:
        """Runs jobs one after the other that stall and then exit with 0.

        Each sends one beat while all other agents are known, so it stays unconfirmed.
        """
        for _ in range(JOBS):
            job = Job(self.daemon.socket)
            self.sent += 1
            self.events.wait_for("stall", [job.pid])
            check(job.end() == 0, "a job did not exit with 0")
            self.events.wait_for("exit", [job.pid])

    def check(self) -> None:
        self.level.descriptors -= 1  # The service's pidfd is closed when it is killed.
        if IS_ROOT:
            # Crashes of another user need commands before the service does.
            crashed = [mortal(self.daemon.socket, 1, NOBODY) for _ in range(CRASHERS)]
            for pid in crashed:
                ended_as(pid)
            self.sent += len(crashed)
            self.events.wait_for("exit", crashed)
        stop(self.service)
        ran = lambda: next((line for line in self.lines() if line[0] == str(self.service)), None)
        _, cause, pidfd = wait_until("a command for the service that hangs", ran)
        before = [line[0] for line in self.lines()].index(str(self.service))
        check((cause, pidfd == "none") == ("stall", False), f"cause {cause}, pidfd {pidfd}")
        check(before < CRASHERS, f"{before} commands of another user ran before the service's")
        ending = ended_as(self.service)
        check(ending == -signal.SIGKILL, f"the service ended with {ending}")
        self.healthy.pids.remove(self.service)

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.runs.read_text().splitlines()]
