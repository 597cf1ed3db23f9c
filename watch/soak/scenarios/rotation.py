"""Files rotate all the time, even while no new one can be opened."""

import fcntl
import os
import termios
from pathlib import Path

from agents import datagram_socket, ended_as, mortal
from checks import audit_verifies, generations
from frames import frame
from machine import check, wait_until
from scenario import Scenario

BEATS_A_FILE = 100
CRASHES = 12


class Rotation(Scenario):
    name = "files are rotated"

    def flags(self) -> list[str]:
        flags = ["--recovery-exec", "/bin/true", "--recovery-budget", "1000000"]
        flags += ["--export-file-max-bytes", "16000", "--recovery-audit-max-bytes", "2000"]
        return [*flags, "--max-beat-rate", "0"]

    def start(self) -> None:
        self.sender, self.nonce = datagram_socket(timeout=60.0), 0
        self.sender.connect(str(self.daemon.socket))
        while len(generations(self.export)) < 6 or len(generations(self.audit)) < 6:
            self.fill()
            self.crash()

    def disturb(self) -> None:
        self.fill()
        self.crash()
        files = self.old_files()
        self.daemon.limit_descriptors(3)
        for _ in range(5):
            self.fill()
        kept = self.old_files()
        self.daemon.limit_descriptors(1024)
        for path in (self.export, self.audit):
            lost = files[path] - kept[path]
            text = f"{len(lost)} old files of {path.name} were lost while none could be opened"
            check(len(lost) <= 1, text)

    def old_files(self) -> dict[Path, set[int]]:
        number = lambda file: file.stat().st_ino
        return {path: {*map(number, generations(path))} for path in (self.export, self.audit)}

    def fill(self) -> None:
        """Sends enough heartbeats to fill a file, and waits until they are read."""
        for _ in range(BEATS_A_FILE):
            self.nonce += 1
            self.sender.send(frame(os.getpid(), self.nonce))
        self.sent += BEATS_A_FILE
        unread = lambda: fcntl.ioctl(self.sender, termios.TIOCOUTQ, b"\0" * 4)
        wait_until("heartbeats to be read", lambda: unread() == b"\0" * 4)

    def crash(self) -> None:
        pids = [mortal(self.daemon.socket, 1) for _ in range(CRASHES)]
        for pid in pids:
            ended_as(pid)
        self.sent += len(pids)

    def check(self) -> None:
        self.fill()
        for path in (self.export, self.audit):
            check(len(generations(path)) == 6, f"the files of {path.name} are {generations(path)}")
        check(audit_verifies(self.programs.watch, self.audit) > 0, "the audit log is empty")
