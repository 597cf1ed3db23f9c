"""Runs observers: programs that print events, and daemons that write an export file."""

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

from log import MERGED, UNKNOWN, Log, Beats, Mismatch
from directory import Endpoint

PATIENCE = 60.0
THRESHOLD_MS = 1000


class ObserverProgram:
    """An observer program, which prints each event as a line of JSON."""

    def __init__(self, command: list[str], *, lane: bool = False):
        self.lane = lane
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.events: list[dict] = []
        self.changed = threading.Condition()
        self.ready = False
        threading.Thread(target=self._read, daemon=True).start()
        if not self._wait(lambda: self.ready or self.process.poll() is not None) or not self.ready:
            self.process.kill()
            raise Mismatch(f"the observer does not start: {self.process.stderr.read()}")

    def _read(self) -> None:
        for line in self.process.stdout:
            with self.changed:
                if line.startswith("ready"):
                    self.ready = True
                else:
                    self.events.append(json.loads(line))
                self.changed.notify_all()

    def _wait(self, condition: Callable[[], bool]) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)

    def log(self) -> Log:
        seen = Log()
        for event in list(self.events):
            match event:
                case {"kind": "beat", "pid": pid, "status": status, "payload": payload, "nonce": nonce, "count": count}:
                    seen.beats.setdefault(pid, []).extend([MERGED] * (count - 1) + [(status, payload, nonce)])
                    # A process that beats is running, even if it was reported as silent before.
                    seen.ends.pop(pid, None)
                case {"kind": "exit", "pid": pid, "code": int(code)}:
                    seen.ends[pid] = f"exit {code}"
                case {"kind": "exit", "pid": pid, "signal": int(number)}:
                    seen.ends[pid] = f"signal {number}"
                case {"kind": "exit", "pid": pid}:
                    seen.ends[pid] = UNKNOWN
                case {"kind": "stall", "pid": pid}:
                    seen.ends[pid] = "silent"
        return seen

    def wait_for_beats(self, beats: Beats) -> bool:
        return self._wait(lambda: self.log().with_merged(beats).beats == beats)

    def wait_for(self, expected: Log) -> bool:
        return self._wait(lambda: self.log().with_merged(expected.beats).agrees(expected))

    def counters(self) -> dict:
        """Ends the observer and returns its counters."""
        self.process.stdin.close()
        if not self._wait(lambda: bool(self.events) and "received" in self.events[-1]):
            raise Mismatch("the observer does not print its counters")
        self.process.wait(PATIENCE)
        return self.events[-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Daemon:
    """A daemon, which writes an export file."""

    def __init__(
        self, command: list[str], endpoint: Endpoint, flags: list[str], *, at_end: bool = False, lane: bool = False
    ):
        # Version 0.1 writes the file when it exits, but runs a command for each stall before that.
        self.at_end = at_end
        self.lane = lane
        self.control = f"{endpoint.socket}.control"
        self.stalled = endpoint.folder / "stalled"
        if at_end:
            flags = [*flags, "--recovery-cmd", f"echo {{pid}} >> {self.stalled}"]
        self.export = endpoint.folder / "export"
        listen = ["--udp-port", str(endpoint.port), "--udp-bind-addr", "127.0.0.1"]
        listen_flags = {
            "uds": [],
            "udp": [*listen, "--i-accept-plaintext-udp"],
            "key": [*listen, "--key-file", str(endpoint.key)],
            "master": [*listen, "--master-key-file", str(endpoint.key)],
        }
        self.process = subprocess.Popen(
            [*command, "--socket", str(endpoint.socket), "--threshold-ms", str(THRESHOLD_MS)]
            + ["--export-file", str(self.export), *flags, *listen_flags[endpoint.transport]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if not self._wait(endpoint.bound):
            self.close()
            raise Mismatch("the daemon does not start")

    def _wait(self, condition: Callable[[], bool]) -> bool:
        until = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > until or self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def rows(self) -> Iterator[list[str]]:
        if self.export.exists():
            for line in self.export.read_text().splitlines():
                row = line.split("\t")
                if len(row) >= 6:
                    yield row

    def log(self) -> Log:
        seen = Log()
        for _, kind, pid, nonce, status, payload, *count in self.rows():
            if kind == "beat":
                beats = seen.beats.setdefault(int(pid), [])
                beats += [MERGED] * (int(count[0]) - 1 if count else 0)
                beats.append((status, int(payload), int(nonce)))
                seen.ends.pop(int(pid), None)
            elif kind == "stall":
                seen.ends[int(pid)] = "silent"
        return seen

    def shares_memory_with(self, pid: int) -> bool:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PATIENCE)
            asking.connect(self.control)
            asking.sendall(b'{"ask":"agents"}\n')
            with asking.makefile() as answers:
                known = json.loads(answers.readline())["agents"]
        return any(agent["lane"] for agent in known if agent["pid"] == pid)

    def wait_for_beats(self, beats: Beats) -> bool:
        return self.at_end or self._wait(lambda: self.log().with_merged(beats).beats == beats)

    def wait_for(self, expected: Log) -> bool:
        if self.at_end:
            silent = {str(pid) for pid in expected.ends}
            self._wait(lambda: self.stalled.exists() and silent <= set(self.stalled.read_text().split()))
            self.close()
            return self.log() == expected
        return self._wait(lambda: self.log().with_merged(expected.beats) == expected)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
