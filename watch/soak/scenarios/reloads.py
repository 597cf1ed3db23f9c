"""SIGHUP with valid and invalid files: no agent is lost, and an invalid file changes nothing."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from machine import check, wait_until
from scenario import Scenario


class Reloads(Scenario):
    name = "reloads"

    def flags(self) -> list[str]:
        self.file = self.folder / "varta.toml"
        self.file.write_text("tracker-capacity = 100\n")
        return ["--config", str(self.file)]

    def start(self) -> None:
        self.numbers = self.numbers_of_agents()
        self.good, self.bad = 0, 0

    def numbers_of_agents(self) -> dict[int, int]:
        return {agent["pid"]: agent["agent"] for agent in self.daemon.agents()["agents"]}

    def disturb(self) -> None:
        self.good += 1
        rate = f"max-beat-rate = {200 + self.good}\n"
        self.reload(lambda: self.file.write_text(rate), is_good=True)
        for spoil in self.spoilers():
            self.reload(spoil, is_good=False)
            self.remove()

    def spoilers(self) -> list[Callable[[], object]]:
        write, other = self.file.write_text, self.folder / "other"
        other.write_text("threshold-ms = maybe\n")
        return [
            self.remove,
            lambda: write("max-beat-rate = 1\nmax-beat-rate = 2\n"),
            lambda: write("max-beat-rat = 1\n"),
            lambda: write("max-beat-rate = -1\n"),
            lambda: self.file.write_bytes(os.urandom(4096)),
            lambda: write("[" * 100_000),
            lambda: self.file.symlink_to(other),
            lambda: self.file.symlink_to(self.file),
            self.file.mkdir,
        ]

    def remove(self) -> None:
        if self.file.is_dir() and not self.file.is_symlink():
            self.file.rmdir()
        self.file.unlink(missing_ok=True)

    def reload(self, change: Callable[[], object], is_good: bool) -> None:
        line = '"reloaded"' if is_good else '"not reloaded, '
        before = self.daemon.count_logged(line)
        self.remove()
        change()
        self.daemon.signal(signal.SIGHUP)
        wait_until(f"{line} in the log", lambda: self.daemon.count_logged(line) > before)

    def check(self) -> None:
        numbers = self.numbers_of_agents()
        check(numbers == self.numbers, f"agents {self.numbers} became {numbers}")
