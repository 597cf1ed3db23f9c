"""Reads systemd's unit files."""

from pathlib import Path

from conftest import DEPLOY

SYSTEMD = DEPLOY / "systemd"
UNITS = [
    SYSTEMD / name
    for name in ["varta-watch.service", "varta-watch.socket", "varta-watch-notify.socket"]
]


def setting(unit: Path, name: str) -> str:
    """The value of a setting, which must occur once in the unit."""
    lines = [line for line in unit.read_text().splitlines() if line.startswith(f"{name}=")]
    assert len(lines) == 1, f"{unit.name} sets {name} {len(lines)} times"
    return lines[0].partition("=")[2]
