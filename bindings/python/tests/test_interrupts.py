"""Ctrl-C ends a wait at once. A signal handler that does not raise lets the wait continue."""

from __future__ import annotations

import os
import resource
import signal
import threading

import pytest
from conftest import expect, in_child, output_of, python

from varta import Beat, Observer, Varta

WAITING = """
import sys
from varta import Observer

observer = Observer.bind(sys.argv[1])
waits = {"poll": lambda: observer.poll(None), "for": lambda: list(observer)}
try:
    print("waiting", flush=True)
    waits[sys.argv[2]]()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("wait", ["poll", "for"])
def test_ctrl_c_ends_a_wait(path: str, wait: str) -> None:
    process = python(WAITING, path, wait)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    # Otherwise it would wait indefinitely.
    assert output_of(process) == ("interrupted\n", "")


def test_a_wait_continues_after_a_signal_handler(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)
    handled = []

    def handler(number: int, frame: object) -> None:
        handled.append(number)
        agent.beat(payload=1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        beat = expect(observer, Beat)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert isinstance(beat, Beat) and beat.payload == 1
    assert handled == [signal.SIGUSR1]


def test_a_signal_handler_that_raises_ends_the_wait(observer: Observer) -> None:
    class Enough(Exception):
        pass

    def handler(number: int, frame: object) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Enough):
            observer.poll(None)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert observer.poll(0) is None


BURST = """
import signal, sys
from varta import Observer

handled = 0

def handler(number, frame):
    global handled
    handled += 1
    if handled == 1:
        print("handled", flush=True)

signal.signal(signal.SIGUSR1, handler)
observer = Observer.bind(sys.argv[1])
try:
    print("waiting", flush=True)
    observer.poll(None)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_after_a_burst_of_signals_ends_the_wait(path: str) -> None:
    process = python(BURST, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == "handled\n"
    for _ in range(2000):
        process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGINT)
    assert output_of(process) == ("interrupted\n", "")


def test_an_idle_wait_rarely_wakes_up(observer: Observer) -> None:
    def usage_so_far() -> tuple[int, float]:
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        return usage.ru_nvcsw, usage.ru_utime + usage.ru_stime

    assert observer.poll(0.1) is None
    # A child that closes the inherited observer must not wake this process.
    in_child(observer.close)
    wakes, seconds = usage_so_far()
    assert observer.poll(3) is None
    # One per second, another for the observer's own checks, and some of Python itself.
    assert usage_so_far()[0] - wakes < 15
    assert usage_so_far()[1] - seconds < 0.1
