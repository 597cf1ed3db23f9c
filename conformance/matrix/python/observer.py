"""An observer that prints each event as a line of JSON: observer.py ENDPOINT THRESHOLD_MS [lane].

It runs until its input ends. Its last line has the counters.
"""

import json
import select
import sys

from varta import AgentEvent, Beat, Event, Exit, Observer


def to_json(event: Event) -> dict[str, object]:
    fields: dict[str, object] = {"kind": event.kind}
    if isinstance(event, AgentEvent):
        fields["pid"] = event.claimed_pid
    if isinstance(event, Beat):
        fields |= {"status": event.status.name.lower(), "payload": event.payload, "nonce": event.nonce}
        fields["count"] = event.count
    if isinstance(event, Exit):
        fields |= {"code": event.code, "signal": event.signal}
    return fields


endpoint, threshold, lane = sys.argv[1], int(sys.argv[2]) / 1000, sys.argv[3:] == ["lane"]
with Observer.bind(endpoint, threshold=threshold, version1=True, lane=lane) as observer:
    print("ready", flush=True)
    while sys.stdin not in select.select([observer, sys.stdin], [], [])[0]:
        while (event := observer.poll(0)) is not None:
            print(json.dumps(to_json(event)), flush=True)
    stats = observer.stats()
    print(json.dumps({name: stats[name] for name in ("received", "beats", "lane_beats")}), flush=True)
