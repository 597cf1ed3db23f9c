"""Threads with separate or shared handles, and the interpreter's lock while one waits."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from conftest import DEADLINE, expect, wait_until

from varta import Beat, Observer, Varta


def run_threads(*targets) -> None:
    failures: list[BaseException] = []

    def guarded(target) -> None:
        try:
            target()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert failures == []


def drain(observer: Observer, count: int) -> list[int]:
    nonces: list[int] = []
    while len(nonces) < count:
        event = expect(observer, Beat)
        assert isinstance(event, Beat)
        nonces.append(event.nonce)
    return nonces


def test_agents_of_one_process_never_share_a_nonce(observer: Observer, path: str) -> None:
    def beat() -> None:
        with Varta.connect(path) as agent:
            for _ in range(50):
                # A beat that is dropped also uses a nonce, so it is sent again.
                while not agent.beat().is_sent:
                    time.sleep(0)

    nonces: list[int] = []
    run_threads(beat, beat, beat, lambda: nonces.extend(drain(observer, 150)))
    assert len(set(nonces)) == 150
    (agent,) = observer.agents()
    assert (agent["pid"], agent["beats"]) == (os.getpid(), 150)


def test_a_shared_agent_never_repeats_a_nonce(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)

    def beat() -> None:
        for _ in range(50):
            while not agent.beat().is_sent:
                time.sleep(0)

    nonces: list[int] = []
    run_threads(beat, beat, beat, lambda: nonces.extend(drain(observer, 150)))
    assert len(set(nonces)) == 150


def test_closing_a_shared_agent_fails_the_beats_of_other_threads(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)

    def beat() -> None:
        while True:
            outcome = agent.beat()
            if outcome.is_failed:
                assert outcome.error is not None and outcome.error.kind == "Closed"
                return

    run_threads(beat, beat, agent.close)


def test_another_thread_makes_progress_while_one_waits(observer: Observer, path: str) -> None:
    counted = 0
    events = []

    def wait() -> None:
        events.append(observer.poll(DEADLINE))

    waiter = threading.Thread(target=wait)
    waiter.start()
    # If the wait held the interpreter's lock, nothing here would run until the poll returns.
    began = time.monotonic()
    while counted < 100_000:
        counted += 1
    assert waiter.is_alive() and time.monotonic() - began < DEADLINE
    with Varta.connect(path) as agent:
        agent.beat(payload=counted)
    waiter.join(DEADLINE)
    assert isinstance(events[0], Beat) and events[0].payload == counted


def test_an_observer_answers_while_another_thread_waits(observer: Observer, path: str) -> None:
    events = []
    waiter = threading.Thread(target=lambda: events.append(observer.poll(DEADLINE)))
    waiter.start()
    assert observer.agents() == []
    assert observer.stats()["received"] == 0
    assert observer.poll(0) is None
    with Varta.connect(path) as agent:
        agent.beat()
    waiter.join(DEADLINE)
    assert isinstance(events[0], Beat)


def test_two_threads_share_the_events(observer: Observer, path: str) -> None:
    payloads: list[int] = []
    lock = threading.Lock()

    def listen() -> None:
        while True:
            event = observer.poll(0.05)
            with lock:
                if isinstance(event, Beat):
                    payloads.append(event.payload)
                if len(payloads) == 200:
                    return

    def beat() -> None:
        with Varta.connect(path) as agent:
            for payload in range(200):
                while not agent.beat(payload=payload).is_sent:
                    time.sleep(0)

    run_threads(listen, listen, beat)
    assert sorted(payloads) == list(range(200))


def test_closing_ends_the_iteration_in_another_thread(observer: Observer, path: str) -> None:
    kinds: list[str] = []
    ended = threading.Event()

    def listen() -> None:
        for event in observer:
            kinds.append(event.kind)
        ended.set()

    thread = threading.Thread(target=listen)
    thread.start()
    with Varta.connect(path) as agent:
        agent.beat()
    wait_until("the beat", lambda: kinds)
    observer.close()
    assert ended.wait(DEADLINE)
    thread.join(DEADLINE)
    assert kinds == ["beat"]


def test_closing_ends_a_wait_at_once(path: str) -> None:
    def poll(observer: Observer) -> None:
        with pytest.raises(ValueError, match="closed"):
            observer.poll(None)

    began = time.monotonic()
    for _ in range(40):
        observer = Observer.bind(path)
        # The first poll creates the descriptor that wakes the second one.
        assert observer.poll(0.001) is None
        waiter = threading.Thread(target=poll, args=(observer,))
        waiter.start()
        state = f"/proc/self/task/{waiter.native_id}/stat"
        wait_until("the wait", lambda: Path(state).read_text().rsplit(") ", 1)[1][0] == "S")
        observer.close()
        waiter.join(DEADLINE)
        assert not waiter.is_alive()
    # A wait that is not ended takes a second.
    assert time.monotonic() - began < 20
