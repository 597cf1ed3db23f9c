"""A pre-fork server: the agent is created before the fork, and each worker is its own agent."""

from __future__ import annotations

import os
import sys
import time

from varta import Varta


def work(agent: Varta, number: int) -> None:
    for _ in range(5):
        # ... serve a request, and then:
        agent.beat(payload=number)
        time.sleep(0.05)


def main(endpoint: str, workers: int) -> None:
    agent = Varta.open(endpoint)
    for number in range(1, workers + 1):
        if os.fork() == 0:
            work(agent, number)
            os._exit(0)
    for _ in range(workers):
        os.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
