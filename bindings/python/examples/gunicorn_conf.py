"""Gunicorn hooks: each worker beats whenever it notifies gunicorn that it is alive, and each request
is a block of the task "request" that must end in time.

    gunicorn --config gunicorn_conf.py application:app

The endpoint is $VARTA_ENDPOINT. A worker calls `notify` from the loop that serves requests,
so a request that hangs a sync worker makes it a silent agent. An observer that watches tasks
reports any request that takes $REQUEST_SECONDS, whatever the worker class.
"""

from __future__ import annotations

import os
from typing import Any

from varta import NEVER, Varta

LONGEST = float(os.environ.get("REQUEST_SECONDS", "30"))


def post_worker_init(worker: Any) -> None:
    agent = Varta.open()
    # Nothing is due between requests. Threads and greenlets may have many at once.
    worker.requests = agent.task("request", NEVER, finest=LONGEST, roams=True, spans=1000)
    notify = worker.notify

    def notify_and_beat() -> None:
        notify()
        # The number of requests it has served, modulo 2**32.
        agent.beat(payload=getattr(worker, "nr", 0) % 2**32)

    worker.notify = notify_and_beat


def pre_request(worker: Any, request: Any) -> None:
    request.block = worker.requests.watch(LONGEST)


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    request.block.close()
