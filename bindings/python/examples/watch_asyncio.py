"""An agent and an observer on one event loop, printing the loop's lag."""

from __future__ import annotations

import asyncio
import sys

from varta import Beat, Observer, Varta
from varta.asyncio import beat_forever


async def main(endpoint: str) -> None:
    with Observer.bind(endpoint) as observer, Varta.open(endpoint) as agent:
        beat_task = asyncio.create_task(beat_forever(agent, every=0.1))
        beats = 0
        async for event in observer:
            if isinstance(event, Beat):
                print(f"the loop was {event.payload} microseconds late")
                beats += 1
            if beats == 3:
                break
        beat_task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
