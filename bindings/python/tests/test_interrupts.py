"""Ctrl-C ends a wait at once, and a handler that does not raise does not."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from conftest import expect, output_of, python

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
def test_ctrl_c(path: str, wait: str) -> None:
    process = python(WAITING, path, wait)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    # Otherwise it would wait for ever.
    assert output_of(process) == ("interrupted\n", "")


def test_a_handler_runs_and_the_wait_goes_on(observer: Observer, path: str) -> None:
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


def test_a_handler_that_raises(observer: Observer) -> None:
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
