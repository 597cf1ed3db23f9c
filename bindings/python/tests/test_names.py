"""The name of an agent, which each of its events has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from conftest import Watching, until, wait_until

from varta import Beat, Exit, Frame, Observer, Stall, Varta

SECOND = 10**9

# It beats until it may stop: once it has a page, or at once.
SILENT = """
import sys, time
from varta import Varta
agent = Varta.open(sys.argv[1])
while agent.beat() and sys.argv[2] == "lane" and agent.watched is None:
    time.sleep(0.001)
agent.beat()  # the others may have gone as datagrams, before the name
time.sleep(3600)
"""


def named(path: str, way: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "VARTA_NAME": "indexer"}
    return subprocess.Popen([sys.executable, "-c", SILENT, path, way], env=environment)


def test_every_event_of_a_process_has_its_name_and_its_exit_too(path: str) -> None:
    watching = Watching(path, threshold=0.2)
    with named(path, "lane") as child:
        beat = watching.until(Beat, label="indexer")
        stall = watching.until(Stall, label="indexer")
        child.kill()
    exit = watching.until(Exit)
    assert watching.observer.agents() == []
    assert exit.label == "indexer" and exit.signal == signal.SIGKILL
    assert str(exit).split(": ")[1] == f"agent 1 (indexer, pid {child.pid})"
    assert repr(exit).endswith(f"label='indexer', observer_ns={exit.observer_ns})")
    # One string serves all events.
    assert beat.label is stall.label is exit.label
    watching.close()


def test_without_shared_memory_the_name_is_that_of_the_program_or_service(path: str) -> None:
    with Observer.bind(path, threshold=0.2) as observer, named(path, "datagrams") as child:
        beat = until(observer, Beat)
        (listed,) = observer.agents()
        assert beat.label == listed["label"] not in ("", "indexer")
        assert until(observer, Stall).label == beat.label
        child.kill()
        assert until(observer, Exit).label == beat.label


def test_a_name_that_comes_later_is_that_of_the_next_events(path: str) -> None:
    # A connected agent is no one's name; the one that is opened later declares it.
    watching = Watching(path)
    first = Varta.connect(path)
    assert first.beat().is_sent
    assert watching.until(Beat).label not in ("", "late name")
    with Varta.open(path, name="late name") as agent:
        wait_until("the page", lambda: agent.beat().is_sent and agent.watched is not None)
        agent.beat("critical", 7)
        watching.until(Beat, payload=7, label="late name")
        first.beat("ok", 8)
        assert watching.until(Beat, payload=8).label == "late name"
    first.close()
    watching.close()


def test_many_agents_that_come_and_go_are_named(path: str) -> None:
    with Observer.bind(path, threshold=60) as observer:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                Varta.connect(path).beat()
                os._exit(7)
            beat = until(observer, Beat)
            os.waitpid(child, 0)
            exit = until(observer, Exit)
            assert exit.agent == beat.agent and exit.label == beat.label != ""


def test_a_simulated_process_declares_a_name() -> None:
    observer = Observer.simulated()
    observer.set_program(4321, "python3")
    events = []
    for at, name in ((1, "python3"), (2, " index\x1b[2Jer"), (3, "b" * 70)):
        if at > 1:
            observer.set_name(4321, name)
        observer.feed(at, Frame("ok", 4321, 0, at, 0).encode(), pid=4321)
        events += observer
    observer.exit(4, 4321, signal=9)
    observer.late(20 * SECOND, SECOND)
    events += observer
    labels = [event.label for event in events if isinstance(event, (Beat, Exit))]
    assert labels == ["python3", "index\\u{1b}[2Jer", "b" * 63, "b" * 63]
    assert str(events[0]) == "0.000 s: agent 1 (python3, pid 4321): beat, ok, payload 0, nonce 1"
    assert not hasattr(events[-1], "label")
    # Nobody has told it a name.
    observer.feed(21 * SECOND, Frame("ok", 7, 0, 1, 0).encode(), address="192.0.2.1")
    away = observer.poll()
    assert isinstance(away, Beat) and away.label == ""
    assert str(away).split(": ")[1] == "agent 2 (claims pid 7, network)"
    with pytest.raises(TypeError):
        observer.set_name(4321, b"bytes")
