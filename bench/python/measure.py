"""Measuring several things side by side, so that noise meets all of them alike.

As bench/src/measure.rs does: blocks of calls in turn, each call timed by itself, set up anew
several times, and the ratio of two is the median of what it was in each round. The receiver,
though, is a socket of this process, emptied after each call while nobody looks at the clock: a
second process would have to be given its turn for every sample.
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
    # Whether what it answered is what it should.
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
        """The median of the rounds' ratios, and the two values that half of them lie between."""
        pairs = zip(self.row(of).rounds, self.row(to).rounds)
        ratios = sorted(one / other for one, other in pairs)
        low, middle, high = statistics.quantiles(ratios, n=4)
        return middle, low, high


# What stands while contenders are measured: how what was sent is taken.
Take = Callable[[], object]
SetUp = Callable[[], AbstractContextManager["tuple[Take, list[Contender]]"]]


def side_by_side(name: str, seconds: float, set_ups: int, set_up: SetUp) -> Group:
    rows: dict[str, Row] = {}
    for _ in range(set_ups):
        with set_up() as (take, contenders):
            end = clock() + int(seconds / set_ups * 1e9)
            number = 0
            while number == 0 or clock() < end:
                # Whoever has the first turn in this round has the last in the next.
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
                raise RuntimeError(f"{contender.name} goes wrong: {answer}")
    return block


def base_ns() -> float:
    """What it costs to look at the clock twice, and to call at all."""
    return statistics.median(base_samples())


def base_samples() -> Iterator[int]:
    call, arguments = bool, (0,)
    for _ in range(BLOCK):
        before = clock()
        call(*arguments)
        yield clock() - before
