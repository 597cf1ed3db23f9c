"""Celery: each worker beats from the loop that consumes its tasks, and each task that it executes is
a block of varta's task "job" that must end in time.

    celery --app celery_app worker

The endpoint is $VARTA_ENDPOINT. The timer runs in the worker's own loop, so the beats stop when
that loop hangs. The processes of a prefork pool do not beat; an observer that watches tasks knows
them by their jobs.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from celery import Celery, bootsteps, signals

from varta import NEVER, Span, Task, Varta

EVERY = 0.5
LONGEST = float(os.environ.get("JOB_SECONDS", "300"))


class Beats(bootsteps.StartStopStep):
    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._agent = Varta.open()
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        self._timer = parent.timer.call_repeatedly(EVERY, self._agent.beat)

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._agent.close()


@lru_cache
def jobs() -> Task:
    """Declared by the first job, so that programs that only send jobs have no task."""
    return Varta.open().task("job", NEVER, finest=LONGEST, roams=True, spans=1000)


running: dict[str, Span] = {}


@signals.task_prerun.connect
def begin(task_id: str, **_: Any) -> None:
    running[task_id] = jobs().watch(LONGEST)


@signals.task_postrun.connect
def end(task_id: str, **_: Any) -> None:
    running.pop(task_id).close()


app = Celery("varta_example", broker=os.environ.get("BROKER", "memory://"))
app.steps["worker"].add(Beats)


@app.task
def add(one: int, other: int) -> int:
    return one + other
