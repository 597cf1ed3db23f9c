"""The endpoint of a cell: its socket, port and key file."""

import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

TRANSPORTS = {
    "uds": "Unix socket",
    "udp": "UDP",
    "key": "sealed UDP, shared key",
    "master": "sealed UDP, master key",
}

# Ports below the ephemeral range, so that the kernel assigns none of them to another cell.
PORTS = count(10_000 + secrets.randbelow(10_000))


def free_port() -> int:
    """Returns an unused port, a different one for each call."""
    while True:
        port = next(PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True)
class Endpoint:
    """The endpoint of one cell, in its own folder."""

    transport: str
    folder: Path
    port: int

    @classmethod
    def make(cls, transport: str, folder: Path) -> "Endpoint":
        endpoint = cls(transport, folder, free_port())
        endpoint.key.touch(mode=0o600)
        endpoint.key.write_text(secrets.token_hex(32) + "\n")
        return endpoint

    @property
    def socket(self) -> Path:
        return self.folder / "varta.sock"

    def bound(self) -> bool:
        if self.transport == "uds":
            return self.socket.exists()
        return f":{self.port:04X} " in Path("/proc/net/udp").read_text()

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def url(self) -> str:
        match self.transport:
            case "uds":
                return str(self.socket)
            case "udp":
                return f"udp://127.0.0.1:{self.port}"
            case "key":
                return f"udp+secure://127.0.0.1:{self.port}?key-file={self.key}"
            case _:
                return f"udp+secure://127.0.0.1:{self.port}?master-key-file={self.key}"
