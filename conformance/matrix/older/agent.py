"""An agent of the Python package varta 0.2 that reads commands from its input."""

import os
import sys

from varta import Status, Varta


def connect(endpoint):
    if "://" not in endpoint:
        return Varta.connect(endpoint)
    scheme, _, rest = endpoint.partition("://")
    address, _, key = rest.partition("?")
    host, _, port = address.rpartition(":")
    address = (host, int(port))
    if scheme == "udp":
        return Varta.connect_udp(address)
    form, _, path = key.partition("=")
    with open(path) as file:
        key = bytes.fromhex(file.read().strip())
    if form == "key-file":
        return Varta.connect_secure_udp(address, key)
    return Varta.connect_secure_udp_with_master(address, key)


def beat(agent, status, payload):
    outcome = agent.beat(Status[status.upper()], payload)
    return "sent" if outcome.is_sent else repr(outcome).replace(" ", "-")


agent = connect(sys.argv[1])
print(f"ready {os.getpid()}", flush=True)
for line in iter(sys.stdin.readline, ""):
    match line.split():
        case ["beat", status, payload]:
            print(beat(agent, status, int(payload)), flush=True)
        case ["fork"]:
            child = os.fork()
            if child == 0:
                outcomes = beat(agent, "ok", 101), beat(agent, "degraded", 102)
                print("child", os.getpid(), *outcomes, flush=True)
                sys.stdin.readline()  # the command to exit
                os._exit(0)
            os.waitpid(child, 0)
            print("ended", flush=True)
