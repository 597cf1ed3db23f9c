"""The observer: the native class, extended for asyncio."""

from __future__ import annotations

from enum import IntEnum

from varta import _varta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Iterable
    from os import PathLike
    from typing import Literal, Union

    from typing_extensions import Self

    from varta.asyncio import Events

    _Address = tuple[str, int]
    _Rate = tuple[int, int]
    _Slack = dict[str, float]
    _Uids = Union[Literal["any"], Iterable[int]]


class Origin(IntEnum):
    """How an agent's identity is known. Only KERNEL_ATTESTED is reliable enough to act on."""

    KERNEL_ATTESTED = 1
    SECURE_NETWORK = 2
    NETWORK = 3


ORIGINS = tuple(Origin)


class Observer(_varta.Observer):
    """Receives the beats of agents, and reports stalls, recoveries and exits.

        with Observer.bind("/run/user/1000/varta.sock", threshold=0.5) as observer:
            for event in observer:
                print(event)

    In asyncio, `async for event in observer` does the same without a thread. In other event
    loops, wait until `fileno()` is readable, then call `poll(0)` until it returns None.
    """

    __slots__ = ("_waiting", "__weakref__")

    def __init__(self, *endpoints: object, **settings: object) -> None:
        self._waiting: set[tuple[AbstractEventLoop, Future[None]]] = set()

    @classmethod
    def bind(
        cls,
        *endpoints: str | PathLike[str],
        threshold: float = 2.0,
        pause_after: float | None = None,
        capacity: int = 4096,
        socket_mode: int = 0o600,
        receive_buffer: int | None = None,
        uids: _Uids | None = None,
        namespaces: bool = False,
        version1: bool = False,
        rate_per_agent: _Rate | None = None,
        rate: _Rate | None = None,
        detect_exits: bool = True,
        descriptors: int | None = None,
        lane: bool = False,
        tasks: bool = False,
        causes: bool = False,
        lane_floor: float = 0.01,
        task_slack: _Slack | None = None,
        program_slack: _Slack | None = None,
        udp: _Address | None = None,
        secure_udp: _Address | None = None,
        shared_keys: Iterable[bytes] | None = None,
        master_key: bytes | None = None,
        secure_state_file: str | PathLike[str] | None = None,
    ) -> Self:
        """Creates an observer that listens on endpoints.

        An agent that is silent for `threshold` seconds is stalled. `udp` and `secure_udp` are
        pairs (host, port); with port 0 the kernel chooses one. By default only beats of the
        observer's own uid are accepted; `uids` may be a list, or "any". A rate is a pair
        (per_second, burst). `secure_state_file` keeps sealed sessions across restarts, so that
        a sealed beat cannot be replayed to the next observer.

        With `lane`, processes may beat through memory that they share with the observer, and a
        Beat can stand for several. With `tasks` too, each task of these processes is watched:
        then a Stall need not be about the whole process. `task_slack` and `program_slack` map
        names to the seconds that tasks may be late.

        With `causes`, a Stall says why the process is silent, and a Cause follows when that
        changes. To see everything, the observer needs the permission to trace its agents.
        """
        observer = cls(
            *endpoints,
            threshold=threshold,
            pause_after=pause_after,
            capacity=capacity,
            socket_mode=socket_mode,
            receive_buffer=receive_buffer,
            uids=uids,
            namespaces=namespaces,
            version1=version1,
            rate_per_agent=rate_per_agent,
            rate=rate,
            detect_exits=detect_exits,
            descriptors=descriptors,
            lane=lane,
            tasks=tasks,
            causes=causes,
            lane_floor=lane_floor,
            task_slack=task_slack,
            program_slack=program_slack,
            udp=udp,
            secure_udp=secure_udp,
            shared_keys=shared_keys,
            master_key=master_key,
            secure_state_file=secure_state_file,
        )
        advice = observer.advice()
        if advice is not None:
            from logging import getLogger

            getLogger("varta").info(advice)
        return observer

    @staticmethod
    def simulated(
        *,
        threshold_ns: int = 2_000_000_000,
        pause_after_ns: int | None = None,
        capacity: int = 4096,
        uids: _Uids | None = None,
        namespaces: bool = False,
        version1: bool = False,
        rate_per_agent: _Rate | None = None,
        rate: _Rate | None = None,
        detect_exits: bool = True,
        lane: bool = False,
        tasks: bool = False,
        causes: bool = False,
        lane_floor_ns: int = 10_000_000,
        task_slack_ns: dict[str, int] | None = None,
        program_slack_ns: dict[str, int] | None = None,
        shared_keys: Iterable[bytes] | None = None,
        master_key: bytes | None = None,
    ) -> _varta.Simulated:
        """Creates an observer without sockets, for tests. The caller sets its clock."""
        return _varta.Simulated(
            threshold_ns=threshold_ns,
            pause_after_ns=pause_after_ns,
            capacity=capacity,
            uids=uids,
            namespaces=namespaces,
            version1=version1,
            rate_per_agent=rate_per_agent,
            rate=rate,
            detect_exits=detect_exits,
            lane=lane,
            tasks=tasks,
            causes=causes,
            lane_floor_ns=lane_floor_ns,
            task_slack_ns=task_slack_ns,
            program_slack_ns=program_slack_ns,
            shared_keys=shared_keys,
            master_key=master_key,
        )

    def close(self) -> None:
        """Stops listening and ends every iteration over it, in any thread or task."""
        try:
            super().close()
        finally:
            if self._waiting:
                from varta.asyncio import wake

                wake(self._waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __aiter__(self) -> Events:
        from varta.asyncio import Events

        return Events(self)
