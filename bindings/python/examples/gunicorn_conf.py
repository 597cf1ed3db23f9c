"""Gunicorn hooks: each worker beats whenever it notifies gunicorn that it is alive.

    gunicorn --config gunicorn_conf.py application:app

The endpoint is $VARTA_ENDPOINT. A worker calls `notify` from the loop that serves requests,
so a request that hangs a sync worker makes it a silent agent.
"""

from __future__ import annotations

from typing import Any

from varta import Varta


def post_worker_init(worker: Any) -> None:
    agent = Varta.open()
    notify = worker.notify

    def notify_and_beat() -> None:
        notify()
        # The number of requests it has served, modulo 2**32.
        agent.beat(payload=getattr(worker, "nr", 0) % 2**32)

    worker.notify = notify_and_beat
