"""Agents and observers on asyncio: no thread, no polling."""

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
    from varta._varta import Event, Varta

_logger = logging.getLogger("varta")

_MOST_PAYLOAD = 2**32 - 1
_IN_A_ROW = 100


async def beat_forever(
    agent: Varta, every: float = 0.5, *, status: _StatusLike = Status.OK
) -> NoReturn:
    """Beats from the event loop until cancelled, so that a blocked loop is a silent agent.

    The payload is how late the loop was, in microseconds. What becomes of the beats is logged
    when it changes.
    """
    if not every > 0:
        raise ValueError(f"every: {every!r} is no number of seconds above 0")
    loop = get_running_loop()
    due = loop.time()
    last: BeatOutcome | None = None
    while True:
        lag = max(loop.time() - due, 0.0)
        outcome = agent.beat(status, min(int(lag * 1e6), _MOST_PAYLOAD))
        if outcome != last and not (last is None and outcome.is_sent):
            _logger.log(logging.INFO if outcome.is_sent else logging.WARNING, "beat %s", outcome)
        last = outcome
        # Beats that a blocked loop has missed are not made up for.
        due = max(due + every, loop.time())
        await sleep(due - loop.time())


class Events:
    """What an observer says, as an asynchronous iterator. It ends when the observer closes."""

    __slots__ = ("_in_a_row", "_observer")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._in_a_row = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        # However much there is to say, others on the loop have their turn.
        if self._in_a_row >= _IN_A_ROW:
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
                # So it is when another thread has just closed it.
                if not observer.closed:
                    raise
        raise StopAsyncIteration


async def _readable(observer: Observer) -> None:
    """Waits until a poll has something to say, or the observer is closed."""
    loop = get_running_loop()
    ready = loop.create_future()
    waiting = (loop, ready)
    # A descriptor of its own: the observer may be closed, and its number given away again,
    # before this is resumed.
    descriptor = os.dup(observer.fileno())
    try:
        loop.add_reader(descriptor, _set, ready)
        observer._waiting.add(waiting)
        # Another thread that closes it from here on sees who waits.
        if not observer.closed:
            await ready
    finally:
        observer._waiting.discard(waiting)
        if not loop.is_closed():
            loop.remove_reader(descriptor)
        os.close(descriptor)


def wake(waiting: Iterable[tuple[AbstractEventLoop, Future[None]]]) -> None:
    """Ends the waits for an observer that was closed, from any thread."""
    for loop, ready in list(waiting):
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set, ready)


def _set(ready: Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
