"""A forked child is its own agent, whichever way it was created."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from pathlib import Path

import pytest
from conftest import DEADLINE, expect, in_child, output_of, python, until

from varta import Beat, Exit, Observer, Varta


def beats(observer: Observer, count: int) -> list[Beat]:
    found: list[Beat] = []
    while len(found) < count:
        event = until(observer, Beat)
        assert isinstance(event, Beat)
        found.append(event)
    return found


def beat_in_child(agent: Varta, recoveries: int) -> None:
    assert agent.beat(payload=1).is_sent
    assert agent.beat(payload=2).is_sent
    assert agent.fork_recoveries() == recoveries


def test_a_child_counts_from_one(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)
    assert agent.beat().is_sent
    in_child(lambda: beat_in_child(agent, 1))
    assert agent.beat().is_sent
    parent, first, second, again = beats(observer, 4)
    assert [parent.nonce, first.nonce, second.nonce, again.nonce] == [1, 1, 2, 2]
    assert parent.pid == again.pid == os.getpid() != first.pid == second.pid
    assert agent.fork_recoveries() == 0


def test_a_grandchild_counts_from_one(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)

    def child() -> None:
        beat_in_child(agent, 1)
        in_child(lambda: beat_in_child(agent, 2))

    in_child(child)
    found = beats(observer, 4)
    assert [beat.nonce for beat in found] == [1, 2, 1, 2]
    assert len({beat.pid for beat in found}) == 2


@pytest.mark.parametrize("transport", ["shared_keys", "master_key"])
def test_a_child_gets_its_own_secure_session(transport: str) -> None:
    key = bytes(32)
    keys = {transport: [key] if transport == "shared_keys" else key}
    with Observer.bind(secure_udp=("127.0.0.1", 0), **keys) as observer:
        (address,) = observer.udp_addresses()
        connect = (
            Varta.connect_secure_udp
            if transport == "shared_keys"
            else Varta.connect_secure_udp_with_master
        )
        agent = connect(address, key)
        assert agent.beat().is_sent
        in_child(lambda: beat_in_child(agent, 1))
        assert [beat.nonce for beat in beats(observer, 3)] == [1, 1, 2]
        assert observer.stats()["decrypt_failures"] == 0


def work(path: str) -> None:
    with Varta.connect(path) as agent:
        assert agent.beat(payload=9).is_sent


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_workers_are_separate_agents(observer: Observer, path: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=work, args=(path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(DEADLINE)
        assert worker.exitcode == 0
    found = beats(observer, 3)
    assert {beat.pid for beat in found} == {worker.pid for worker in workers}
    assert {(beat.nonce, beat.payload) for beat in found} == {(1, 9)}


PRE_FORK = """
import os, sys, time
from varta import Varta

agent = Varta.connect(sys.argv[1])
read_end, write_end = os.pipe()
for number in range(4):
    if os.fork() == 0:
        os.close(write_end)
        for _ in range(3):
            while not agent.beat(payload=number).is_sent:
                time.sleep(0.001)
        os.read(read_end, 1)
        os._exit(number)
sys.stdin.read()
os.close(write_end)
for _ in range(4):
    os.wait()
"""


def test_pre_fork_workers_are_separate_agents(observer: Observer, path: str) -> None:
    server = python(PRE_FORK, path)
    workers: dict[int, list[int]] = {}
    while sum(map(len, workers.values())) < 12:
        beat = until(observer, Beat)
        workers.setdefault(beat.payload, []).append(beat.pid)
    assert sorted(workers) == [0, 1, 2, 3]
    assert all(len(set(pids)) == 1 for pids in workers.values())
    assert output_of(server) == ("", "")
    # The exit of each worker is reported.
    exits = [until(observer, Exit) for _ in workers]
    assert {(exit.pid, exit.code) for exit in exits} == {
        (pids[0], number) for number, pids in workers.items()
    }


def test_a_child_forked_inside_asyncio_beats(observer: Observer, path: str) -> None:
    async def main() -> None:
        agent = Varta.connect(path)
        assert agent.beat().is_sent
        in_child(lambda: beat_in_child(agent, 1))
        found = []
        async for event in observer:
            if isinstance(event, Beat):
                found.append(event.nonce)
            if len(found) == 3:
                break
        assert found == [1, 1, 2]

    asyncio.run(main())


def test_a_child_cannot_use_its_parents_observer(observer: Observer, path: str) -> None:
    def child() -> None:
        for call in (
            lambda: observer.poll(0),
            lambda: observer.poll(1),
            observer.agents,
            observer.stats,
            observer.fileno,
            observer.next_deadline,
            lambda: observer.set_threshold(1, 1),
            observer.drain_evictions,
            lambda: next(observer),
        ):
            with pytest.raises(ChildProcessError):
                call()
        observer.close()
        assert observer.closed

    in_child(child)
    # The child's close did not remove the parent's socket.
    assert Path(path).exists()
    with Varta.connect(path) as agent:
        assert agent.beat().is_sent
    expect(observer, Beat)


FORK_WITH_THREADS = """
import os, sys, threading
from varta import Observer, Varta

observer = Observer.bind(sys.argv[1], threshold=60)
stop = threading.Event()

def listen():
    while not stop.is_set():
        observer.poll(0.01)

def beat():
    with Varta.connect(sys.argv[1]) as agent:
        while not stop.is_set():
            agent.beat()

threads = [threading.Thread(target=listen)] + [threading.Thread(target=beat) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(50):
    child = os.fork()
    if child == 0:
        # Nothing here waits for a lock that another thread held at the fork.
        own = Varta.connect(sys.argv[1])
        fine = not own.beat().is_failed
        try:
            observer.stats()
            fine = False
        except ChildProcessError:
            pass
        observer.close()
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
"""


def test_a_fork_while_other_threads_beat_and_listen_does_not_hang(path: str) -> None:
    process = python(FORK_WITH_THREADS.replace("-W error", ""), path)
    output, errors = output_of(process)
    if sys.version_info >= (3, 12):
        errors = ""  # Python warns about a fork in a process with threads.
    assert (process.returncode, output, errors) == (0, "", "")
