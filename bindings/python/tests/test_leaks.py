"""Many beats, events and calls of tasks leak no memory."""

from __future__ import annotations

import gc
import os
import socket
import sys
import tracemalloc

from varta import BeatOutcome, DropReason, Frame, Observer, Status, Varta

MANY = 200_000


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth_of(run) -> tuple[int, int]:
    """The growth in resident bytes and allocated blocks of a second, longer run."""
    run(MANY // 10)
    gc.collect()
    before, blocks = resident(), sys.getallocatedblocks()
    run(MANY)
    gc.collect()
    return resident() - before, sys.getallocatedblocks() - blocks


def small(growth: tuple[int, int]) -> bool:
    return growth[0] < 2**19 and abs(growth[1]) < 100


def test_many_beats_leak_nothing(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.setblocking(False)
        agent = Varta.connect(path)
        sent, full = BeatOutcome.sent(), BeatOutcome.dropped(DropReason.KERNEL_QUEUE_FULL)
        counts = sys.getrefcount(sent), sys.getrefcount(full), sys.getrefcount(Status.OK)

        def beat(times: int) -> None:
            for number in range(times):
                if agent.beat(Status.OK, number) is full:
                    while agent.beat() is not sent:
                        receiver.recv(64)

        assert small(growth_of(beat))
        # Reference counts of immortal objects (3.12 on) do not change, the others return.
        after = sys.getrefcount(sent), sys.getrefcount(full), sys.getrefcount(Status.OK)
        assert all(abs(one - other) < 10 for one, other in zip(counts, after))


def test_failed_beats_leak_nothing() -> None:
    agent = Varta.open("/nonexistent/varta.sock")
    agent.close()

    def beat(times: int) -> None:
        for _ in range(times // 2):
            assert agent.beat().is_failed
            try:
                agent.beat("fine")
            except ValueError:
                pass

    assert small(growth_of(beat))


def test_a_beat_that_is_sent_allocates_nothing(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        agent = Varta.connect(path)
        payload = 2**31

        def beat_and_receive() -> int:
            """The peak of allocated bytes above the state before each beat, in total."""
            total = 0
            for _ in range(100):
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                agent.beat(Status.OK, payload)
                total += tracemalloc.get_traced_memory()[1] - before
                receiver.recv(64)
            return total

        tracemalloc.start()
        try:
            beat_and_receive()
            spent = beat_and_receive()
            baseline = sum(overhead() for _ in range(100))
        finally:
            tracemalloc.stop()
        assert spent <= baseline, (spent, baseline)


def overhead() -> int:
    """The cost of the measurement itself."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    return tracemalloc.get_traced_memory()[1] - before


def test_many_events_leak_nothing() -> None:
    observer = Observer.simulated()
    wire = bytearray(Frame("ok", 4321, 0, 1, 7).encode())

    def listen(times: int) -> None:
        for at in range(times):
            observer.feed(at, wire, pid=4321)
            event = observer.poll()
            assert event is not None and event.payload == 7 and event.status is Status.OK
            assert observer.poll() is None

    assert small(growth_of(listen))


def test_calls_of_tasks_leak_nothing() -> None:
    agent = Varta.open("/nonexistent/varta.sock")
    task = agent.task("work", 3600)

    def call(times: int) -> None:
        for number in range(times // 2):
            with task.watch(3600), task.idle():
                task.progress(number, 0)
                task.beat(Status.OK, number)
            if number % 100 == 0:
                with agent.task("short", 3600, edges=[(0, 1)]) as short:
                    short.watch(3600)
                assert len(agent.tasks()) == 1 and task.counts()

    assert small(growth_of(call))


def test_closed_agents_leak_nothing(path: str) -> None:
    with Observer.bind(path) as observer:

        def connect(times: int) -> None:
            for _ in range(times // 200):
                Varta.connect(path).beat()
                while observer.poll(0) is not None:
                    pass
                observer.agents()
                observer.stats()

        connect(200)
        before = len(os.listdir("/proc/self/fd"))
        assert small(growth_of(connect))
        assert len(os.listdir("/proc/self/fd")) == before


def test_closed_observers_leak_nothing(path: str) -> None:
    def bind(times: int) -> None:
        for _ in range(times // 2000):
            Observer.bind(path, capacity=10).poll(0)

    before = len(os.listdir("/proc/self/fd"))
    assert small(growth_of(bind))
    assert len(os.listdir("/proc/self/fd")) == before
