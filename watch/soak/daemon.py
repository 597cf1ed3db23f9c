"""The daemon as a process, its metrics and its events."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from machine import Failed, check, die_with_parent, wait_until


class Daemon:
    def __init__(self, binary: Path, folder: Path, flags: list[str], most_descriptors: int | None):
        self.binary, self.folder, self.flags = binary, folder, flags
        self.socket = folder / "varta.sock"
        self.control = folder / "varta.sock.control"
        self.log_file = folder / "log"
        self._most_descriptors = most_descriptors
        self._process: subprocess.Popen | None = None
        self.http = ""

    def start_after_kill(self) -> None:
        """Starts the daemon as a supervisor does. A command that the killed one was starting holds
        copies of its sockets until it is executed, which on a busy machine takes longer than
        the daemon waits."""
        for _ in range(20):
            try:
                return self.start()
            except Failed as error:
                check("already listening" in str(error), str(error))
                self._process.wait()
                self._process.stdout.close()
        self.start()

    def start(self) -> None:
        """Starts the daemon, and returns once it is watching."""
        before = len(self.log())

        def prepare() -> None:
            die_with_parent()
            if self._most_descriptors:
                most = (self._most_descriptors,) * 2
                resource.setrlimit(resource.RLIMIT_NOFILE, most)

        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, "--socket", self.socket, *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=prepare,
            )

        def watching() -> bool:
            ended = self._process.poll()
            check(ended is None, f"the daemon ended with {ended} at its start: {self.log()[-600:]}")
            return '"watching"' in self.log()[before:]

        # At log level "error" the log stays empty, but the address is still printed last.
        line = self._process.stdout.readline().decode()
        found = re.search(r"127\.0\.0\.1:\d+", line)
        check(bool(found), f"no HTTP address in {line!r}: {self.log()[-600:]}")
        self.http = found.group()
        if "error" not in self.flags:
            wait_until("the daemon to be watching", watching)

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def count_logged(self, text: str) -> int:
        return self.log().count(text)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def check_alive(self, patience: float = 0.0) -> None:
        try:
            ended = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return
        check(False, f"the daemon ended with {ended}: {self.log()[-900:]}")

    def kill(self) -> None:
        """Kills it, without a chance to clean up."""
        self.check_alive()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def end(self) -> None:
        """Ends it as a service manager does. It must exit with 0 and leave no socket."""
        self.check_alive()
        self.signal(signal.SIGTERM)
        wait_until("the daemon's end", lambda: self._process.poll() is not None)
        code = self._process.returncode
        check(code == 0, f"the daemon ended with {code}: {self.log()[-600:]}")
        left = [path.name for path in (self.socket, self.control) if path.exists()]
        check(not left, f"sockets were left behind: {left}")

    def discard(self) -> None:
        """Ends it after a failure."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    # Resource use.

    def memory(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def limit_descriptors(self, most: int) -> None:
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (most, hard))

    # What it answers.

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.http, timeout=30.0)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self) -> "Metrics":
        status, text = self.get("/metrics")
        check(status == 200, f"/metrics answered {status}")
        return Metrics(text)

    def agents(self) -> dict:
        """The report of all agents, over the control socket."""
        with socket.socket(socket.AF_UNIX) as opened:
            opened.settimeout(30.0)
            opened.connect(str(self.control))
            opened.sendall(b'{"ask":"agents"}\n')
            with opened.makefile() as answers:
                return json.loads(answers.readline())

    def wait_until_tracked(self, pids: list[int]) -> None:
        def tracked() -> bool:
            return set(pids) <= {agent["pid"] for agent in self.agents()["agents"]}

        wait_until(f"{len(pids)} agents to be tracked", tracked)


class Metrics:
    def __init__(self, text: str):
        self._text = text

    def sum(self, name: str) -> int:
        """The sum of all samples of a family."""
        values = re.findall(rf"^{name}(?:\{{[^\n]*\}})? ([\d.e+]+)$", self._text, re.M)
        check(bool(values), f"/metrics has no {name}")
        return round(sum(map(float, values)))

    def labelled(self, name: str, label: str, value: str) -> int:
        found = re.search(rf'^{name}{{{label}="{value}"}} (\S+)$', self._text, re.M)
        check(bool(found), f"/metrics has no {name} with {label}={value}")
        return round(float(found.group(1)))


class Events:
    """Reads the export file as it grows, and keeps all events except beats."""

    def __init__(self, file: Path):
        self._file, self._read, self._rest = file, 0, b""
        self.beats = 0
        self.others: list[dict] = []

    def refresh(self) -> "Events":
        if self._file.exists():
            with self._file.open("rb") as opened:
                opened.seek(self._read)
                text = opened.read()
            self._read += len(text)
            *lines, self._rest = (self._rest + text).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["event"] == "beat":
                    self.beats += 1
                else:
                    self.others.append(event)
        return self

    def wait_for(self, kind: str, pids: list[int], times: int = 1) -> None:
        def reported() -> bool:
            counts = Counter(event["pid"] for event in self.where(lambda event: event["event"] == kind))
            return all(counts[pid] >= times for pid in pids)

        wait_until(f"{kind} of {len(pids)} agents", reported)

    def where(self, keep: Callable[[dict], bool]) -> list[dict]:
        return [event for event in self.refresh().others if keep(event)]
