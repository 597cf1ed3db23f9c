"""Observers and agents on an event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import threading
import time
import weakref

import pytest
from conftest import DEADLINE, expect

from varta import Beat, Observer, Paused, Stall, Varta
from varta.asyncio import beat_forever


def run(main):
    return asyncio.run(asyncio.wait_for(main, DEADLINE))


def test_events_arrive_in_order(path: str) -> None:
    async def main() -> list[str]:
        kinds = []
        with Observer.bind(path, threshold=0.1) as observer, Varta.connect(path) as agent:
            agent.beat()
            async for event in observer:
                # On a busy machine the observer itself may be late.
                if isinstance(event, Paused):
                    continue
                kinds.append(event.kind)
                if isinstance(event, Stall) and kinds.count("stall") == 1:
                    agent.beat()
                if kinds.count("stall") == 2:
                    return kinds
        raise AssertionError(kinds)

    assert run(main()) == ["beat", "stall", "recovered", "beat", "stall"]


def test_waiting_needs_no_thread_and_no_polling(path: str) -> None:
    async def main() -> None:
        with Observer.bind(path) as observer:
            task = asyncio.ensure_future(observer.__aiter__().__anext__())
            await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            turns = 0
            original = loop._run_once

            def counting() -> None:
                nonlocal turns
                turns += 1
                original()

            loop._run_once = counting
            assert threading.active_count() == 1
            await asyncio.sleep(0.5)
            # One turn to sleep and one to wake up, while the observer waits.
            assert turns <= 5
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


def test_a_busy_agent_does_not_starve_the_loop(path: str) -> None:
    async def main() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        with Observer.bind(path) as observer, Varta.connect(path) as agent:
            other_task = asyncio.ensure_future(other())
            received = 0
            agent.beat()
            async for _ in observer:
                agent.beat()  # so that another one is always pending
                received += 1
                if received == 1000:
                    break
            other_task.cancel()
        assert turns >= 5

    run(main())


def test_an_iteration_can_be_cancelled_and_started_again(path: str) -> None:
    async def main() -> None:
        with Observer.bind(path) as observer, Varta.connect(path) as agent:

            async def listen() -> object:
                async for event in observer:
                    return event

            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(listen(), 0.02)
            assert observer._waiting == set()
            agent.beat(payload=4)
            event = await listen()
            assert isinstance(event, Beat) and event.payload == 4

    before = len(os.listdir("/proc/self/fd"))
    run(main())
    assert len(os.listdir("/proc/self/fd")) <= before


def test_two_tasks_share_the_events(path: str) -> None:
    async def main() -> None:
        with Observer.bind(path) as observer, Varta.connect(path) as agent:
            payloads = []

            async def listen() -> None:
                async for event in observer:
                    payloads.append(event.payload)
                    if len(payloads) == 20:
                        observer.close()

            async def beat() -> None:
                for payload in range(20):
                    assert agent.beat(payload=payload).is_sent
                    await asyncio.sleep(0.001)

            await asyncio.gather(listen(), listen(), beat())
            assert sorted(payloads) == list(range(20))

    run(main())


@pytest.mark.parametrize("where", ["loop", "thread"])
def test_closing_ends_the_iteration(path: str, where: str) -> None:
    async def main() -> None:
        observer = Observer.bind(path)
        ended = asyncio.Event()

        async def listen() -> None:
            async for event in observer:
                raise AssertionError(event)
            ended.set()

        task = asyncio.ensure_future(listen())
        while not observer._waiting:
            await asyncio.sleep(0)
        if where == "loop":
            observer.close()
        else:
            await asyncio.get_running_loop().run_in_executor(None, observer.close)
        await ended.wait()
        await task

    run(main())


def test_closing_in_a_thread_just_before_the_wait_ends_the_iteration(path: str) -> None:
    async def main() -> list[object]:
        observer = Observer.bind(path)
        loop = asyncio.get_running_loop()
        original = loop.add_reader

        def add_reader(*arguments) -> None:
            original(*arguments)
            thread = threading.Thread(target=observer.close)
            thread.start()
            thread.join()

        loop.add_reader = add_reader
        return [event async for event in observer]

    assert run(main()) == []


def test_closing_just_before_the_poll_ends_the_iteration(path: str) -> None:
    class Closing(Observer):
        def poll(self, timeout=None):
            self.close()
            return super().poll(timeout)

    async def main() -> list[object]:
        return [event async for event in Closing.bind(path)]

    assert run(main()) == []


def test_an_observer_is_freed_after_its_task_while_the_loop_runs(path: str) -> None:
    async def main() -> None:
        observer = Observer.bind(path)
        gone = weakref.ref(observer)
        task = asyncio.ensure_future(observer.__aiter__().__anext__())
        while not observer._waiting:
            await asyncio.sleep(0)
        del observer
        assert gone() is not None, "the waiting task keeps it alive"
        task.cancel()
        await asyncio.wait([task])
        del task
        gc.collect()
        assert gone() is None and not os.path.exists(path)

    run(main())


def test_an_observer_survives_its_loop(path: str) -> None:
    observer = Observer.bind(path)
    loop = asyncio.new_event_loop()
    task = loop.create_task(observer.__aiter__().__anext__())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    with Varta.connect(path) as agent:
        agent.beat()
    expect(observer, Beat)
    observer.close()


def test_beat_forever_measures_the_loops_lag(path: str) -> None:
    async def main() -> None:
        with Observer.bind(path) as observer, Varta.connect(path) as agent:
            task = asyncio.ensure_future(beat_forever(agent, every=0.05))
            blocked = False
            async for event in observer:
                if not blocked:
                    time.sleep(0.3)  # blocks the loop, so that every task is late
                    blocked = True
                # A beat may already have been queued; the first one after the block reports the lag.
                elif isinstance(event, Beat) and event.payload >= 200_000:
                    break
            task.cancel()

    run(main())


def test_beat_forever_logs_each_change_of_the_outcome(path: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with Varta.open(path) as agent:
            task = asyncio.ensure_future(beat_forever(agent, every=0.01))
            await asyncio.sleep(0.05)
            with Observer.bind(path) as observer:
                async for event in observer:
                    if isinstance(event, Beat) and event.nonce > 1:
                        break
            task.cancel()

    with caplog.at_level(logging.INFO, logger="varta"):
        run(main())
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    beats = [line for line in lines if line[1].startswith("beat")]
    assert beats[:2] == [("WARNING", "beat dropped: no observer"), ("INFO", "beat sent")]


def test_beat_forever_refuses_an_interval_of_zero() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="every"):
            await beat_forever(Varta.open("/nonexistent/varta.sock"), every=0)

    run(main())


def test_waiting_costs_no_cpu(path: str) -> None:
    async def main() -> float:
        with Observer.bind(path) as observer:
            task = asyncio.ensure_future(observer.__aiter__().__anext__())
            await asyncio.sleep(0)
            before = resource.getrusage(resource.RUSAGE_SELF)
            await asyncio.sleep(1)
            after = resource.getrusage(resource.RUSAGE_SELF)
            task.cancel()
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert run(main()) < 0.2
