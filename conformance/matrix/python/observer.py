"""An observer that says each event as a line of JSON: observer.py ENDPOINT THRESHOLD_MS.

It goes on until its input ends; its last line is what it has counted.
"""

import json
import select
import sys

from varta import AgentEvent, Beat, Event, Exit, Observer


def told(event: Event) -> dict[str, object]:
    said: dict[str, object] = {"kind": event.kind}
    if isinstance(event, AgentEvent):
        said["pid"] = event.claimed_pid
    if isinstance(event, Beat):
        said |= {"status": event.status.name.lower(), "payload": event.payload, "nonce": event.nonce}
    if isinstance(event, Exit):
        said |= {"code": event.code, "signal": event.signal}
    return said


endpoint, threshold = sys.argv[1], int(sys.argv[2]) / 1000
with Observer.bind(endpoint, threshold=threshold, version1=True) as observer:
    print("ready", flush=True)
    while sys.stdin not in select.select([observer, sys.stdin], [], [])[0]:
        while (event := observer.poll(0)) is not None:
            print(json.dumps(told(event)), flush=True)
    stats = observer.stats()
    print(json.dumps({"received": stats["received"], "beats": stats["beats"]}), flush=True)
