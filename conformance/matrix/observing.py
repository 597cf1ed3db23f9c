"""Observers at work: programs that say what they see, and daemons that write it to a file."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

from log import UNKNOWN, Account, Beats, Disagreement
from directory import Place

PATIENCE = 60.0
THRESHOLD_MS = 1000


class Watched:
    """An observer at work, that says each event as a line of JSON."""

    def __init__(self, command: list[str]):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said: list[dict] = []
        self.changed = threading.Condition()
        self.ready = False
        threading.Thread(target=self._listen, daemon=True).start()
        if not self._wait(lambda: self.ready or self.process.poll() is not None) or not self.ready:
            self.process.kill()
            raise Disagreement(f"the observer does not start: {self.process.stderr.read()}")

    def _listen(self) -> None:
        for line in self.process.stdout:
            with self.changed:
                if line.startswith("ready"):
                    self.ready = True
                else:
                    self.said.append(json.loads(line))
                self.changed.notify_all()

    def _wait(self, met: Callable[[], bool]) -> bool:
        with self.changed:
            return self.changed.wait_for(met, PATIENCE)

    def account(self) -> Account:
        seen = Account()
        for event in list(self.said):
            match event:
                case {"kind": "beat", "pid": pid, "status": status, "payload": payload, "nonce": nonce}:
                    seen.beats.setdefault(pid, []).append((status, payload, nonce))
                    # Whoever beats has not ended, whatever a slow machine had to say before.
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

    def hears(self, beats: Beats) -> bool:
        return self._wait(lambda: self.account().beats == beats)

    def sees(self, expected: Account) -> bool:
        return self._wait(lambda: self.account().agrees(expected))

    def counters(self) -> dict:
        """Ends it; says what it has counted."""
        self.process.stdin.close()
        if not self._wait(lambda: bool(self.said) and "received" in self.said[-1]):
            raise Disagreement("the observer does not say what it has counted")
        self.process.wait(PATIENCE)
        return self.said[-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Exporting:
    """A daemon at work, that writes an export file."""

    def __init__(self, command: list[str], place: Place, flags: list[str], *, at_end: bool = False):
        # Version 0.1 writes when it ends, but says earlier who is stalled: by a command.
        self.at_end = at_end
        self.stalled = place.folder / "stalled"
        if at_end:
            flags = [*flags, "--recovery-cmd", f"echo {{pid}} >> {self.stalled}"]
        self.export = place.folder / "export"
        listen = ["--udp-port", str(place.port), "--udp-bind-addr", "127.0.0.1"]
        where = {
            "uds": [],
            "udp": [*listen, "--i-accept-plaintext-udp"],
            "key": [*listen, "--key-file", str(place.key)],
            "master": [*listen, "--master-key-file", str(place.key)],
        }
        self.process = subprocess.Popen(
            [*command, "--socket", str(place.socket), "--threshold-ms", str(THRESHOLD_MS)]
            + ["--export-file", str(self.export), *flags, *where[place.transport]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if not self._wait(place.bound):
            self.close()
            raise Disagreement("the daemon does not start")

    def _wait(self, met: Callable[[], bool]) -> bool:
        until = time.monotonic() + PATIENCE
        while not met():
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

    def account(self) -> Account:
        seen = Account()
        for _, kind, pid, nonce, status, payload, *_ in self.rows():
            if kind == "beat":
                beat = (status, int(payload), int(nonce))
                seen.beats.setdefault(int(pid), []).append(beat)
                seen.ends.pop(int(pid), None)
            elif kind == "stall":
                seen.ends[int(pid)] = "silent"
        return seen

    def hears(self, beats: Beats) -> bool:
        return self.at_end or self._wait(lambda: self.account().beats == beats)

    def sees(self, expected: Account) -> bool:
        if self.at_end:
            silent = {str(pid) for pid in expected.ends}
            self._wait(lambda: self.stalled.exists() and silent <= set(self.stalled.read_text().split()))
            self.close()
            return self.account() == expected
        return self._wait(lambda: self.account() == expected)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
