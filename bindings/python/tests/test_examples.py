"""Runs the examples unmodified."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import DEADLINE, expect, python, wait_until

from varta import Beat, Exit, Observer, Status

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", EXAMPLES / name, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_worker_beats_and_is_degraded_in_the_end(observer: Observer, path: str) -> None:
    worker = example("worker.py", path, 10)
    beats = [expect(observer, Beat) for _ in range(10)]
    assert [beat.payload for beat in beats] == list(range(10))
    assert [beat.status for beat in beats] == [Status.OK] * 9 + [Status.DEGRADED]
    assert worker.communicate(timeout=DEADLINE) == ("", None)


AGENT = """
import sys
from varta import Varta
agent = Varta.open(sys.argv[1])
for line in sys.stdin:
    assert agent.beat().is_sent
"""


def test_watch_prints_stall_recovery_and_exit(path: str) -> None:
    watch = example("watch.py", path)
    wait_until("the observer", lambda: os.path.exists(path))
    agent = python(AGENT, path)
    assert watch.stdout is not None and agent.stdin is not None
    agent.stdin.write("beat\n")
    agent.stdin.flush()
    assert watch.stdout.readline() == f"agent 1 (pid {agent.pid}) is silent\n"
    agent.stdin.write("beat\n")
    agent.stdin.flush()
    assert watch.stdout.readline().startswith("agent 1 is back after")
    agent.kill()
    agent.communicate(timeout=DEADLINE)
    lines = watch.communicate(timeout=DEADLINE)[0].splitlines()
    # On a slow machine there may be another stall before the exit.
    assert lines[-1] == "agent 1 has exited: None, 9"


def test_watch_asyncio_prints_the_lag_of_the_loop(path: str) -> None:
    output, _ = example("watch_asyncio.py", path).communicate(timeout=DEADLINE)
    assert output.count("microseconds late") == 3, output


def test_each_prefork_worker_is_an_agent(observer: Observer, path: str) -> None:
    server = example("prefork.py", path, 3)
    seen: dict[int, set[int]] = {}
    exits = 0
    while exits < 3:
        event = observer.poll(DEADLINE)
        assert event is not None, seen
        if isinstance(event, Beat):
            seen.setdefault(event.pid, set()).add(event.payload)
        exits += isinstance(event, Exit)
    assert sorted(seen.values(), key=min) == [{1}, {2}, {3}]
    assert server.communicate(timeout=DEADLINE) == ("", None)
