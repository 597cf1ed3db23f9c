"""A worker that beats from its work loop, and reports a long queue as degraded."""

from __future__ import annotations

import sys
import time

from varta import Status, Varta


def main(endpoint: str, rounds: int) -> None:
    with Varta.open(endpoint) as agent:
        for queue_length in range(rounds):
            # ... the work of this round, and then:
            status = Status.DEGRADED if queue_length > 8 else Status.OK
            outcome = agent.beat(status, queue_length)
            if outcome.is_failed:
                print(f"worker: {outcome}", file=sys.stderr)
            time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
