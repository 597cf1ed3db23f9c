"""Where an agent and an observer meet."""

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

# Ports that the kernel gives to nobody by itself: no socket of another cell is put there meanwhile.
PORTS = count(10_000 + secrets.randbelow(10_000))


def free_port() -> int:
    """Each once, to whichever thread asks."""
    while True:
        port = next(PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True)
class Place:
    """Where a cell's agent and observer meet."""

    transport: str
    folder: Path
    port: int

    @classmethod
    def make(cls, transport: str, folder: Path) -> "Place":
        place = cls(transport, folder, free_port())
        place.key.touch(mode=0o600)
        place.key.write_text(secrets.token_hex(32) + "\n")
        return place

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
    def endpoint(self) -> str:
        match self.transport:
            case "uds":
                return str(self.socket)
            case "udp":
                return f"udp://127.0.0.1:{self.port}"
            case "key":
                return f"udp+secure://127.0.0.1:{self.port}?key-file={self.key}"
            case _:
                return f"udp+secure://127.0.0.1:{self.port}?master-key-file={self.key}"
