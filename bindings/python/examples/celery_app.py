"""A Celery bootstep: each worker beats from the loop that consumes its tasks.

    celery --app celery_app worker

The endpoint is $VARTA_ENDPOINT. The timer runs in the worker's own loop, so the beats stop when
that loop hangs.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, bootsteps

from varta import Varta

EVERY = 0.5


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


app = Celery("varta_example", broker=os.environ.get("BROKER", "memory://"))
app.steps["worker"].add(Beats)


@app.task
def add(one: int, other: int) -> int:
    return one + other
