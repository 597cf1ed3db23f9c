"""Unmodified libraries that speak the protocol of sd_notify, as clients of the daemon's notify socket."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, WATCH, Daemon, Processes, fetch, tool, wait_until

CLIENTS = Path(__file__).resolve().parent / "clients"
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "notify-clients"
# The first build downloads the libraries.
BUILDING = 600.0


def build(*command: object, **options: Any) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=BUILDING, **options)
    assert done.returncode == 0, done.stderr


def python() -> Path:
    return Path(sys.executable)


def rust() -> Path:
    manifest = CLIENTS / "rust" / "Cargo.toml"
    build(
        tool("cargo"),
        "build",
        "--quiet",
        "--locked",
        "--manifest-path",
        manifest,
        "--target-dir",
        BUILT,
    )
    return BUILT / "debug" / "notify-client"


def go() -> Path:
    program = BUILT / "go"
    build(tool("go"), "build", "-o", program, ".", cwd=CLIENTS / "go")
    return program


class Notified:
    """A daemon with a notify socket."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes = processes
        self.socket = folder / "notify.sock"
        self.daemon = Daemon(processes, folder, "--notify-socket", self.socket)
        self.log = folder / f"{WATCH.name}.log"

    def launch(self, *command: object, watchdog: str | None = None, **options: Any):
        flags = ["--watchdog", watchdog] if watchdog else []
        return self.processes.start(
            WATCH,
            "run",
            "--notify",
            "--notify-socket",
            self.socket,
            *flags,
            "--",
            *command,
            **options,
        )

    def wait_for(self, pid: int, what: str, look) -> dict:
        """Waits until the agent with this pid has what is looked for."""

        def seen() -> dict | None:
            agents = json.loads(fetch(f"http://{self.daemon.address}/agents"))["agents"]
            return next((it for it in agents if it["pid"] == pid and look(it)), None)

        return wait_until(f"{pid}: {what}", seen)

    def wait_for_log(self, words: str) -> None:
        wait_until(words, lambda: words in self.log.read_text())


@pytest.mark.parametrize("client", [python, rust, go])
def test_a_client_is_watched_from_ready_to_its_announced_exit(
    processes: Processes, tmp_path: Path, client
) -> None:
    program = client()
    words = [program, CLIENTS / "python.py"] if client is python else [program]
    notified = Notified(processes, tmp_path)
    running = notified.launch(*words, watchdog="1s", stdin=subprocess.PIPE)
    agent = notified.wait_for(running.pid, "ready", lambda it: it["service"]["state"] == "ready")
    assert (agent["service"]["status"], agent["service"]["watchdog_ms"]) == ("at work", 1000)
    notified.wait_for(running.pid, "keep-alives", lambda it: it["service"]["pings"] >= 3)
    running.send_signal(signal.SIGSTOP)
    notified.wait_for(running.pid, "a stall", lambda it: it["state"] == "stalled")
    running.send_signal(signal.SIGCONT)
    notified.wait_for(running.pid, "a recovery", lambda it: it["state"] == "ok")
    running.stdin.close()
    assert running.wait(60) == 3
    notified.wait_for_log("exit code 3, last status ok, as the service announced")


def test_gunicorn_is_ready_with_its_status_and_its_kill_is_an_exit(
    processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("def app(environ, start_response):\n    return []\n")
    notified = Notified(processes, tmp_path)
    command = [python().parent / "gunicorn", "--chdir", tmp_path, "--bind", f"unix:{tmp_path}/http"]
    # It leads a group with its workers, which end with it.
    running = notified.launch(*command, "app:app", start_new_session=True)
    try:
        agent = notified.wait_for(
            running.pid, "ready", lambda it: it["service"]["state"] == "ready"
        )
        assert agent["service"]["status"] == "Gunicorn arbiter booted"
        # It sends no keep-alives, so its silence is not judged.
        assert (agent["service"]["watchdog_ms"], agent["state"]) == (None, "ok")
    finally:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait(60)
    notified.wait_for_log("killed by signal 9")
