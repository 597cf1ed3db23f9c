"""Agents and observers in asyncio, without threads or polling."""

from __future__ import annotations

import logging
import os
from asyncio import Future, get_running_loop, sleep

from varta._values import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterable
    from typing import NoReturn

    from typing_extensions import Self

    from varta._observer import Observer
    from varta._values import BeatOutcome, _StatusLike
    from varta._varta import Event, Task, Varta

_logger = logging.getLogger("varta")

_MAX_PAYLOAD = 2**32 - 1
_MAX_IN_A_ROW = 100


async def beat_forever(
    agent: Varta | Task, every: float = 0.5, *, status: _StatusLike = Status.OK
) -> NoReturn:
    """Beats from the event loop until it is cancelled. So a blocked loop is a silent agent, or a
    late task if it beats for a task.

    The payload is how late the loop was, in microseconds. The outcome of the beats is logged
    when it changes.
    """
    if not every > 0:
        raise ValueError(f"every: {every!r} is not a positive number of seconds")
    loop = get_running_loop()
    due = loop.time()
    last: BeatOutcome | None = None
    while True:
        lag = max(loop.time() - due, 0.0)
        outcome = agent.beat(status, min(int(lag * 1e6), _MAX_PAYLOAD))
        if outcome != last and not (last is None and outcome.is_sent):
            _logger.log(logging.INFO if outcome.is_sent else logging.WARNING, "beat %s", outcome)
        last = outcome
        # The beats that a blocked loop missed are not sent later.
        due = max(due + every, loop.time())
        await sleep(due - loop.time())


class Events:
    """An asynchronous iterator over an observer's events. It ends when the observer closes."""

    __slots__ = ("_in_a_row", "_observer")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._in_a_row = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        # Other tasks on the loop must run, however many events there are.
        if self._in_a_row >= _MAX_IN_A_ROW:
            self._in_a_row = 0
            await sleep(0)
        observer = self._observer
        while not observer.closed:
            try:
                event = observer.poll(0)
                if event is not None:
                    self._in_a_row += 1
                    return event
                self._in_a_row = 0
                await _readable(observer)
            except ValueError:
                # Another thread may just have closed it.
                if not observer.closed:
                    raise
        raise StopAsyncIteration


async def _readable(observer: Observer) -> None:
    """Waits until a poll has something to report or the observer is closed."""
    loop = get_running_loop()
    ready = loop.create_future()
    waiting = (loop, ready)
    # Duplicated, because the observer may be closed and its descriptor reused before this task
    # is resumed.
    descriptor = os.dup(observer.fileno())
    try:
        loop.add_reader(descriptor, _set, ready)
        observer._waiting.add(waiting)
        # If another thread closes it from here on, it wakes this task.
        if not observer.closed:
            await ready
    finally:
        observer._waiting.discard(waiting)
        if not loop.is_closed():
            loop.remove_reader(descriptor)
        os.close(descriptor)


def wake(waiting: Iterable[tuple[AbstractEventLoop, Future[None]]]) -> None:
    """Wakes the tasks that wait for a closed observer. May be called from any thread."""
    for loop, ready in list(waiting):
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set, ready)


def _set(ready: Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
