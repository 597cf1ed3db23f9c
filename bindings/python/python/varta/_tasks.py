"""What tasks promise, and a decorator that watches a function."""

from __future__ import annotations

import functools
from enum import Enum
from math import inf
from typing import Any, Callable, NamedTuple, TypeVar, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from varta._varta import Task

_Function = TypeVar("_Function", bound=Callable[..., Any])

NEVER = inf
"""No limit, as a threshold or a longest time."""


class Promise(str, Enum):
    """What a task promises."""

    BEAT = "beat"
    SPAN = "span"
    CHECKPOINT = "checkpoint"
    PROGRESS = "progress"


class Rule(str, Enum):
    """The rule that calls of a task broke."""

    TOO_EARLY = "too-early"
    TOO_LATE = "too-late"
    WRONG_ORDER = "wrong-order"
    TOO_FEW = "too-few"
    TOO_MANY = "too-many"


class Ending(str, Enum):
    """How a task ended."""

    CLOSED = "closed"
    FAILED = "failed"
    THREAD_GONE = "thread-gone"
    DETACHED = "detached"


PROMISES, RULES, ENDINGS = tuple(Promise), tuple(Rule), tuple(Ending)


class Edge(NamedTuple):
    """A step that a task may take from one checkpoint to another, in at least `min` and less than
    `max` seconds. Checkpoint 0 is outside of all, where a task begins.
    """

    from_: int
    to: int
    min: float = 0.0
    max: float = NEVER


def watched(task: Task, limit: float, max: float | None = None) -> Callable[[_Function], _Function]:
    """Watches each call of a function, which may be a coroutine function:

        @varta.watched(task, 0.2)
        def handle(job): ...

    A call ends within `max` seconds, or with two numbers takes from `min` to `max`.
    """
    import inspect

    limits = (limit,) if max is None else (limit, max)
    task.watch(*limits).close()  # refuses invalid limits

    def decorate(function: _Function) -> _Function:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"watched: {function.__qualname__} is a generator, which waits between its items; "
                "watch the blocks within it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call(*args: Any, **kwargs: Any) -> Any:
                with task.watch(*limits):
                    return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                with task.watch(*limits):
                    return function(*args, **kwargs)

        return cast(_Function, call)

    return decorate
