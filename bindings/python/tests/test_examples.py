"""The examples, run as they are."""

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


def test_worker(observer: Observer, path: str) -> None:
    worker = example("worker.py", path, 10)
    beats = [expect(observer, Beat) for _ in range(10)]
    assert [beat.payload for beat in beats] == list(range(10))
    assert [beat.status for beat in beats] == [Status.OK] * 9 + [Status.DEGRADED]
    assert worker.communicate(timeout=DEADLINE) == ("", None)


PUPPET = """
import sys
from varta import Varta
agent = Varta.open(sys.argv[1])
for line in sys.stdin:
    assert agent.beat().is_sent
"""


def test_watch(path: str) -> None:
    watch = example("watch.py", path)
    wait_until("the observer", lambda: os.path.exists(path))
    puppet = python(PUPPET, path)
    assert watch.stdout is not None and puppet.stdin is not None
    puppet.stdin.write("beat\n")
    puppet.stdin.flush()
    assert watch.stdout.readline() == f"agent 1 (pid {puppet.pid}) is silent\n"
    puppet.stdin.write("beat\n")
    puppet.stdin.flush()
    assert watch.stdout.readline().startswith("agent 1 is back after")
    puppet.kill()
    puppet.communicate(timeout=DEADLINE)
    said = watch.communicate(timeout=DEADLINE)[0].splitlines()
    # On a slow machine it may have been silent once more.
    assert said[-1] == "agent 1 has ended with None, 9"


def test_watch_asyncio(path: str) -> None:
    output, _ = example("watch_asyncio.py", path).communicate(timeout=DEADLINE)
    assert output.count("microseconds late") == 3, output


def test_prefork(observer: Observer, path: str) -> None:
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
