"""Notifications to the service manager, in programs with an environment of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DEADLINE

from varta import DropReason, Varta

HOUR = str(3_600_000_000)


class Manager:
    """The socket of a service manager, and what it sets for its process."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.path = path

    def run(self, script: str, **environment: str) -> list[str]:
        """Runs a program and returns what it sent."""
        known = {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": HOUR}
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **known, **environment},
            check=True,
            timeout=DEADLINE,
        )
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096, socket.MSG_DONTWAIT).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def manager(folder: Path) -> Iterator[Manager]:
    manager = Manager(folder / "manager")
    with manager.socket:
        yield manager


ALL = """
from varta import Varta
with Varta.open("@varta-nobody", {options}) as agent:
    outcomes = [agent.beat("critical"), *(agent.beat() for _ in range(3))]
    assert all(outcome.reason.name == "NO_OBSERVER" for outcome in outcomes), outcomes
    print(agent.ready(), agent.status({text!r}), agent.stopping())
"""


def test_an_agent_notifies_if_the_option_or_the_environment_says_so(manager: Manager) -> None:
    sent = ["WATCHDOG=1", "READY=1", "STATUS=3 of 4", "STOPPING=1"]
    text = "3 of 4"
    assert manager.run(ALL.format(options="notify=True", text=text)) == sent
    assert manager.run(ALL.format(options="", text=text), VARTA_NOTIFY="1") == sent
    assert manager.run(ALL.format(options="notify=False", text=text)) == []
    assert manager.run(ALL.format(options="", text=text), VARTA_NOTIFY="yes") == []


def test_a_status_is_one_line_of_at_most_256_bytes(manager: Manager) -> None:
    texts = {
        "a\nREADY=1\r\0b": "a READY=1  b",
        "": "",
        400 * "x": 256 * "x",
        255 * "x" + "\N{EURO SIGN}y": 255 * "x",
    }
    for text, cut in texts.items():
        sent = manager.run(ALL.format(options="notify=True", text=text))
        assert sent[2] == f"STATUS={cut}"


def test_without_a_service_manager_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with Varta.open("@varta-nobody", notify=True) as agent:
        for outcome in (agent.ready(), agent.stopping(), agent.status("text")):
            assert outcome.is_dropped and outcome.reason is DropReason.NOT_CONFIGURED
            assert str(outcome) == "dropped: not configured"
        with pytest.raises(TypeError, match="text: expected a str, not bytes"):
            agent.status(b"text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="text: expected a str"):
            agent.status("\udcff")
    assert [str(agent.ready()), str(agent.status(""))] == 2 * ["failed: Closed"]
    with pytest.raises(TypeError, match="notify: expected a bool"):
        Varta.open("@varta-nobody", notify=1)  # type: ignore[arg-type]


# The main process of a pre-fork server opens its agent before or after it forks its workers.
SERVER = """
import os
from varta import Varta
os.environ["WATCHDOG_PID"] = str(os.getpid())
early = {early} and Varta.open("@varta-nobody", notify=True)
for worker in range(2):
    if os.fork() == 0:
        agent = early or Varta.open("@varta-nobody", notify=True)
        agent.beat()
        agent.status(f"worker {{worker}}")
        os._exit(0)
    os.wait()
agent = early or Varta.open("@varta-nobody", notify=True)
agent.beat()
agent.status("server")
"""


@pytest.mark.parametrize("early", [True, False])
def test_only_the_main_process_of_a_server_sends_keep_alives(manager: Manager, early: bool) -> None:
    sent = manager.run(SERVER.format(early=early))
    assert sent == ["STATUS=worker 0", "STATUS=worker 1", "WATCHDOG=1", "STATUS=server"]
