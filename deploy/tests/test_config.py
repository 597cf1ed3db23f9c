"""The example of a configuration file: what it says and what it has as comments."""

import re
from pathlib import Path

import pytest
from conftest import DEPLOY, WATCH, run

EXAMPLE = DEPLOY / "varta-watch.toml"
OFF = re.compile(r"^#([a-z0-9-]+ = )")


def test_the_daemon_takes_the_example() -> None:
    checked = run(WATCH, "--config", EXAMPLE, "--socket", "/run/varta.sock", "--check-config")
    assert checked.returncode == 0, checked.stderr


def test_the_daemon_takes_each_line_that_is_commented_out(tmp_path: Path) -> None:
    """All at once, because some need each other, with files that are there."""
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("0123456789abcdef" * 4)
    lines = [OFF.sub(r"\1", line) for line in EXAMPLE.read_text().splitlines()]
    text = "\n".join(lines)
    for path in ("/etc/varta/token", "/etc/varta/master-key"):
        assert path in text
        text = text.replace(path, str(key))
    # Recovery and UDP together have to be wanted, which the example leaves to the reader.
    text += "\nsecure-udp-i-accept-recovery-on-unauthenticated-transport = true\n"
    config = tmp_path / "varta-watch.toml"
    config.write_text(text)
    checked = run(WATCH, "--config", config, "--check-config")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("key", ["threshold-mss = 1", "threshold-ms = 'soon'"])
def test_a_mistake_would_be_found(tmp_path: Path, key: str) -> None:
    config = tmp_path / "varta-watch.toml"
    config.write_text(f"{EXAMPLE.read_text()}\n{key}\n")
    assert run(WATCH, "--config", config, "--socket", "/x", "--check-config").returncode == 2
