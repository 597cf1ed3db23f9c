"""An agent and an observer on one event loop, and what the loop's lag is."""

from __future__ import annotations

import asyncio
import sys

from varta import Beat, Observer, Varta
from varta.asyncio import beat_forever


async def main(endpoint: str) -> None:
    with Observer.bind(endpoint) as observer, Varta.open(endpoint) as agent:
        beating = asyncio.create_task(beat_forever(agent, every=0.1))
        heard = 0
        async for event in observer:
            if isinstance(event, Beat):
                print(f"the loop was {event.payload} microseconds late")
                heard += 1
            if heard == 3:
                break
        beating.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
