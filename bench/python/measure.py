"""Measures several calls side by side, so that noise affects all of them alike.

The method is that of bench/src/measure.rs: contenders take turns with blocks of calls, each call is
timed by itself, everything is set up several times, and the ratio of two contenders is the median of
their ratios per round. But the receiver is a socket of this process, which is emptied after each call
outside the timing. A second process would have to be scheduled for every sample.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Callable, NamedTuple

BLOCK = 64
MOST_MISSES = 1000

clock = time.perf_counter_ns


class Contender(NamedTuple):
    name: str
    call: Callable[..., object]
    arguments: tuple[object, ...]
    # Whether the result is the expected one.
    good: Callable[[object], bool]


class Row:
    def __init__(self, name: str) -> None:
        self.name = name
        self.samples: list[float] = []
        self.rounds: list[float] = []
        self.missed = 0

    def at(self, share: float) -> float:
        ordered = sorted(self.samples)
        return ordered[round((len(ordered) - 1) * share)]


class Group:
    def __init__(self, name: str, rows: list[Row]) -> None:
        self.name = name
        self.rows = rows

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def ratio(self, of: str, to: str) -> tuple[float, float, float]:
        """The median of the ratios of all rounds, and their quartiles."""
        pairs = zip(self.row(of).rounds, self.row(to).rounds)
        ratios = sorted(one / other for one, other in pairs)
        low, middle, high = statistics.quantiles(ratios, n=4)
        return middle, low, high


# Receives what a contender has sent.
Take = Callable[[], object]
SetUp = Callable[[], AbstractContextManager["tuple[Take, list[Contender]]"]]


def side_by_side(name: str, seconds: float, set_ups: int, set_up: SetUp) -> Group:
    rows: dict[str, Row] = {}
    for _ in range(set_ups):
        with set_up() as (take, contenders):
            end = clock() + int(seconds / set_ups * 1e9)
            number = 0
            while number == 0 or clock() < end:
                # The contender that is first in this round is last in the next.
                first = number % len(contenders)
                base = base_ns()
                for contender in contenders[first:] + contenders[:first]:
                    row = rows.setdefault(contender.name, Row(contender.name))
                    block = take_block(contender, row, take)
                    block = [max(took - base, 0.0) for took in block]
                    row.rounds.append(statistics.median(block))
                    row.samples += block
                number += 1
    return Group(name, [rows[contender.name] for contender in contenders])


def take_block(contender: Contender, row: Row, take: Take) -> list[float]:
    _, call, arguments, good = contender
    block: list[float] = []
    while len(block) < BLOCK:
        before = clock()
        answer = call(*arguments)
        took = clock() - before
        if good(answer):
            block.append(took)
            take()
        else:
            row.missed += 1
            if row.missed > MOST_MISSES:
                raise RuntimeError(f"{contender.name} fails too often: {answer}")
    return block


def base_ns() -> float:
    """The cost of reading the clock twice and of a call."""
    return statistics.median(base_samples())


def base_samples() -> Iterator[int]:
    call, arguments = bool, (0,)
    for _ in range(BLOCK):
        before = clock()
        call(*arguments)
        yield clock() - before
