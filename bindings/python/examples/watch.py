"""Watches agents and prints stalls, recoveries and exits until one agent has exited."""

from __future__ import annotations

import sys

from varta import Exit, Observer, Recovered, Stall


def main(endpoint: str) -> None:
    with Observer.bind(endpoint, threshold=0.5) as observer:
        for event in observer:
            if isinstance(event, Stall):
                print(f"agent {event.agent} (pid {event.pid}) is silent")
            elif isinstance(event, Recovered):
                print(f"agent {event.agent} is back after {event.silent_ns / 1e9:.1f} s")
            elif isinstance(event, Exit):
                print(f"agent {event.agent} has exited: {event.code}, {event.signal}")
                return


if __name__ == "__main__":
    main(sys.argv[1])
