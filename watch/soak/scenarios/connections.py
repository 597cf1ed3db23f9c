"""Floods of connections, during which probes, scrapes and `check` must still be answered."""

import random
import socket
import subprocess

from frames import frame
from machine import check, wait_until
from scenarios.network import FIRST_PID, Udp

SOURCES = [f"127.0.3.{number}" for number in range(1, 9)]
OF_EACH = 40
CROWD = 1000
"""Agents over UDP, which make the answers long."""

IDLE_CONTROL = 80


class Connections(Udp):
    name = "floods of connections"
    most_descriptors = 1024

    def flags(self) -> list[str]:
        return [*super().flags(), "--i-accept-plaintext-udp"]

    def start(self) -> None:
        self.random = random.Random(13)
        tracked = lambda: self.daemon.metrics().sum("varta_watch_pids_tracked")
        with self.socket_of("127.0.0.1") as opened:

            def all_tracked() -> bool:
                for pid in range(FIRST_PID, FIRST_PID + CROWD):
                    opened.send(frame(pid, 1))
                return tracked() == CROWD + self.healthy_agents

            wait_until("the crowd to be tracked", all_tracked)

    def disturb(self) -> None:
        held = self.hold_http()
        self.check_http("while connections are held")
        self.read_slowly(held)
        self.check_http("while answers are not read")
        self.send_invalid_requests()
        self.check_http("after invalid requests")
        for opened in held:
            opened.close()
        self.crowd_control()

    def connect(self, source: str) -> socket.socket:
        host, port = self.daemon.http.split(":")
        return socket.create_connection((host, int(port)), 30.0, (source, 0))

    def hold_http(self) -> list[socket.socket]:
        """Opens more connections than the daemon accepts, each with one byte of a request."""
        held = []
        for source in SOURCES:
            for _ in range(OF_EACH):
                try:
                    held.append(self.connect(source))
                    held[-1].send(b"G")
                except OSError:
                    pass  # The daemon may refuse it.
        return held

    def read_slowly(self, held: list[socket.socket]) -> None:
        for opened in held:
            try:
                opened.send(b"ET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 8)
            except OSError:
                pass

    def send_invalid_requests(self) -> None:
        for _ in range(20):
            with self.connect(SOURCES[0]) as opened:
                try:
                    request = self.random.randbytes(self.random.randrange(1, 400))
                    opened.sendall(request + b"\r\n\r\n")
                    opened.settimeout(0.05)
                    opened.recv(4096)
                except OSError:
                    pass

    def check_http(self, when: str) -> None:
        """Sends a scrape and a probe from an address that holds no connections."""
        for path in ("/healthz", "/metrics"):
            try:
                status, _ = self.daemon.get(path)
            except OSError as error:
                status = repr(error)
            check(status == 200, f"{path} answered {status} {when}")

    def crowd_control(self) -> None:
        idle = []
        for _ in range(IDLE_CONTROL):
            opened = socket.socket(socket.AF_UNIX)
            opened.settimeout(5.0)
            idle.append(opened)
            try:
                opened.connect(str(self.daemon.control))
                opened.send(self.random.randbytes(20).replace(b"\n", b" "))
            except OSError:
                pass
        # The crowd no longer sends, so check a healthy agent.
        pid = str(self.healthy.pids[0])
        command = [self.programs.watch, "check", "--socket", self.daemon.socket, "--pid", pid]
        fine = lambda: subprocess.run(command, capture_output=True).returncode == 0
        wait_until("`varta-watch check` during idle connections", fine)
        for opened in idle:
            opened.close()
