#!/usr/bin/env python3
"""Runs one benchmark of the Python package and writes its results as JSON.

    bindings/python/run bench --only NAME [--quick] [--json FILE]
    bindings/python/run bench --list

bench/run runs all benchmarks and writes a report.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Callable

from measure import Contender, Group, Take, side_by_side
from peers import varta_0_2
from report import Figure, Target, to_json

PEER = os.environ["VARTA_0_2"]
theirs = varta_0_2(PEER)

import sdnotify  # noqa: E402

import varta  # noqa: E402

KEY = bytes(range(32))

UDS = "python-beat-uds"
SECURE_UDP = "python-beat-secure-udp"
LANE = "python-lane"

TARGETS = {
    UDS: [
        Target(UDS, "beat", "socket.send", 1.05),
        Target(UDS, "beat", "varta 0.2 beat", 0.25),
        Target(UDS, "beat", "sdnotify", 1.0),
    ],
    SECURE_UDP: [Target(SECURE_UDP, "beat", "varta 0.2 beat", 0.30)],
    LANE: [Target(LANE, "beat", "socket.send", 0.10)],
}

Findings = tuple[list[Group], list[Figure]]


def is_sent(outcome) -> bool:
    return outcome.is_sent


def beat_uds(seconds: float, set_ups: int) -> Findings:
    @contextmanager
    def set_up() -> Iterator[tuple[Take, list[Contender]]]:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = f"{folder}/varta.sock"
            receiver = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            receiver.bind(path)
            bare = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            bare.connect(path)
            bare.setblocking(False)
            ours = stack.enter_context(varta.Varta.connect(path))
            other = stack.enter_context(theirs.Varta.connect(path))
            os.environ["NOTIFY_SOCKET"] = path
            notifier = sdnotify.SystemdNotifier()
            stack.callback(notifier.socket.close)
            yield (
                lambda: receiver.recv(128),
                [
                    Contender("socket.send", bare.send, (bytes(32),), lambda n: n == 32),
                    Contender("beat", ours.beat, (varta.Status.OK,), is_sent),
                    Contender("beat, payload", ours.beat, (varta.Status.OK, 7), is_sent),
                    Contender("varta 0.2 beat", other.beat, (theirs.Status.OK,), is_sent),
                    Contender("sdnotify", notifier.notify, ("WATCHDOG=1",), lambda _: True),
                ],
            )

    return [side_by_side(UDS, seconds, set_ups, set_up)], []


def beat_secure_udp(seconds: float, set_ups: int) -> Findings:
    @contextmanager
    def set_up() -> Iterator[tuple[Take, list[Contender]]]:
        with ExitStack() as stack:
            receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            receiver.bind(("127.0.0.1", 0))
            address = receiver.getsockname()
            bare = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            bare.connect(address)
            bare.setblocking(False)
            ours = stack.enter_context(varta.Varta.connect_secure_udp(address, KEY))
            other = stack.enter_context(theirs.Varta.connect_secure_udp(address, KEY))
            yield (
                lambda: receiver.recv(128),
                [
                    Contender("socket.send", bare.send, (bytes(60),), lambda n: n == 60),
                    Contender("beat", ours.beat, (varta.Status.OK,), is_sent),
                    Contender("varta 0.2 beat", other.beat, (theirs.Status.OK,), is_sent),
                ],
            )

    return [side_by_side(SECURE_UDP, seconds, set_ups, set_up)], []


OBSERVER = """
import sys, varta
with varta.Observer.bind(sys.argv[1], lane=True, tasks=True, threshold=3600) as observer:
    print("ready", flush=True)
    for event in observer:
        pass
"""


@contextmanager
def observed() -> Iterator[tuple[str, varta.Varta]]:
    """An agent that beats through memory which it shares with an observer in another process."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/varta.sock"
        command = [sys.executable, "-c", OBSERVER, path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as observer:
            assert observer.stdout is not None and observer.stdout.readline() == "ready\n"
            with varta.Varta.open(path) as agent:
                end = time.monotonic() + 30
                while agent.watched is None:
                    assert time.monotonic() < end, "the observer gave no page"
                    agent.beat()
                yield f"{path}.receiver", agent
                assert agent.watched is not None, "the page was lost"
            observer.kill()


def lane(seconds: float, set_ups: int) -> Findings:
    @contextmanager
    def set_up() -> Iterator[tuple[Take, list[Contender]]]:
        with ExitStack() as stack:
            path, agent = stack.enter_context(observed())
            receiver = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            receiver.bind(path)
            receiver.setblocking(False)
            bare = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            bare.connect(path)
            bare.setblocking(False)
            task = stack.enter_context(agent.task("bench", 3600))

            def take() -> None:
                with suppress(BlockingIOError):
                    receiver.recv(128)

            yield (
                take,
                [
                    Contender("socket.send", bare.send, (bytes(32),), lambda n: n == 32),
                    Contender("beat", agent.beat, (varta.Status.OK,), is_sent),
                    Contender("task.beat", task.beat, (varta.Status.OK,), is_sent),
                    Contender("task.idle", task.idle, (), lambda _: True),
                ],
            )

    group = side_by_side(LANE, seconds * 0.7, set_ups, set_up)
    return [group], [Figure("with task.watch()", watched_block(seconds * 0.3), "ns", 400)]


def watched_block(seconds: float) -> float:
    """What a block costs. It is short, so a hundred are timed at once, beside an empty loop."""
    hundred = range(100)
    took: list[float] = []
    with observed() as (_, agent), agent.task("bench", 3600) as task:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            begun = time.perf_counter_ns()
            for _ in hundred:
                with task.watch(1.0):
                    pass
            between = time.perf_counter_ns()
            for _ in hundred:
                pass
            took.append((2 * between - begun - time.perf_counter_ns()) / 100)
        assert not any(task.counts().values())
    return statistics.median(took)


def events(seconds: float, _: int) -> Findings:
    """Fills the queue of a UDP socket, then times receiving all of it as events, so that the speed of the
    sender does not matter."""
    end = time.perf_counter() + seconds
    iterated: list[float] = []
    with varta.Observer.bind(udp=("127.0.0.1", 0), threshold=3600) as observer:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(observer.udp_addresses()[0])
            nonce = 0
            while time.perf_counter() < end:
                for nonce in range(nonce + 1, nonce + 501):
                    sender.send(varta.Frame(0, 4321, nonce, nonce, 0).encode())
                before = time.perf_counter_ns()
                left = 500
                for event in observer:
                    left -= event.payload == 0
                    if not left:
                        break
                iterated.append((time.perf_counter_ns() - before) / 500)
    took = statistics.median(iterated)
    return [], [
        Figure("an event, iterated", took, "ns", 2000),
        Figure("events in a second", 1e9 / took, "events"),
    ]


def importing(seconds: float, _: int) -> Findings:
    """A Python process that imports varta and ends, compared with one that only ends. Measures CPU time,
    because the rest is waiting for the CPU."""
    programs: dict[str, tuple[str, dict[str, str]]] = {
        "bare": ("pass", {}),
        "ours": ("import varta", {}),
        "varta 0.2": ("import varta", {"PYTHONPATH": PEER}),
    }
    took: dict[str, list[float]] = {name: [] for name in programs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, (code, environment) in programs.items():
            command = [sys.executable, "-c", code]
            child = os.posix_spawn(sys.executable, command, os.environ | environment)
            _, status, used = os.wait4(child, 0)
            assert status == 0, command
            took[name].append(1e3 * (used.ru_utime + used.ru_stime))
    added = {
        name: statistics.median(a - b for a, b in zip(took[name], took["bare"]))
        for name in programs
    }
    return [], [
        Figure("import varta, added to bare Python", added["ours"], "ms", 5),
        Figure("import of the client varta 0.2", added["varta 0.2"], "ms"),
    ]


BENCHES: dict[str, Callable[[float, int], Findings]] = {
    UDS: beat_uds,
    SECURE_UDP: beat_secure_udp,
    LANE: lane,
    "python-events": events,
    "python-import": importing,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a shorter run, with more noise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write to FILE instead of stdout")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--only", choices=BENCHES, metavar="NAME", help="the benchmark")
    wanted.add_argument("--list", action="store_true", help="print the names of the benchmarks")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(BENCHES))
        return
    seconds, set_ups = (2.5, 5) if arguments.quick else (10.0, 20)
    # The first CPU often serves the interrupts.
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    groups, figures = BENCHES[arguments.only](seconds, set_ups)
    targets = TARGETS.get(arguments.only, [])
    found = to_json(f"everything on CPU {cpu}", targets, groups, figures)
    text = json.dumps(found, indent=2) + "\n"
    if arguments.json:
        arguments.json.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
