"""The example configuration file, with and without its commented-out lines."""

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import (
    DEADLINE,
    DEPLOY,
    TOKEN,
    WATCH,
    Processes,
    free_port,
    run,
    secret,
    shipped_config,
    wait_until,
)

EXAMPLE = DEPLOY / "varta-watch.toml"
OFF = re.compile(r"^#([a-z0-9-]+ = |\[\[)")


def test_the_daemon_accepts_the_example(tmp_path: Path) -> None:
    config = shipped_config(tmp_path)
    checked = run(WATCH, "--config", config, "--socket", "/run/varta.sock", "--check-config")
    assert checked.returncode == 0, checked.stderr


def test_the_example_shows_agents_only_to_those_who_have_the_token(
    processes: Processes, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    processes.start(
        WATCH, "--config", shipped_config(tmp_path), "--socket", tmp_path / "varta.sock",
        "--prom-addr", address,
    )  # fmt: skip

    def status(path: str, **headers: str) -> int:
        request = urllib.request.Request(f"http://{address}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    wait_until("the daemon", lambda: status("/healthz") == 200)
    for path in ("/agents", "/metrics"):
        assert status(path) == 401
        assert status(path, Authorization=f"Bearer {TOKEN}") == 200


def test_the_daemon_accepts_the_commented_out_lines(tmp_path: Path) -> None:
    """All at once, because some need each other, and with files that exist."""
    key = secret(tmp_path, "key")
    lines = [OFF.sub(r"\1", line) for line in EXAMPLE.read_text().splitlines()]
    text = "\n".join(lines)
    for path in ("/etc/varta/token", "/etc/varta/master-key"):
        assert path in text
        text = text.replace(path, str(key))
    # Recovery for agents over UDP needs this flag, which is not in the example.
    text = f"secure-udp-i-accept-recovery-on-unauthenticated-transport = true\n{text}"
    config = tmp_path / "varta-watch.toml"
    config.write_text(text)
    checked = run(WATCH, "--config", config, "--check-config")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("key", ["threshold-mss = 1", "threshold-ms = 'soon'"])
def test_an_invalid_setting_is_refused(tmp_path: Path, key: str) -> None:
    config = tmp_path / "varta-watch.toml"
    config.write_text(f"{EXAMPLE.read_text()}\n{key}\n")
    assert run(WATCH, "--config", config, "--socket", "/x", "--check-config").returncode == 2
