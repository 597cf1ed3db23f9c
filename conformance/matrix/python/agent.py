"""An agent that reads commands from its input: agent.py ENDPOINT."""

import os
import sys

from varta import Varta


def beat(agent: Varta, status: str, payload: int) -> str:
    return str(agent.beat(status, payload)).replace(" ", "-")


with Varta.open(sys.argv[1]) as agent:
    print(f"ready {os.getpid()}", flush=True)
    for line in iter(sys.stdin.readline, ""):
        words = line.split()
        if words[0] == "beat":
            print(beat(agent, words[1], int(words[2])), flush=True)
            continue
        child = os.fork()
        if child == 0:
            outcomes = beat(agent, "ok", 101), beat(agent, "degraded", 102)
            print("child", os.getpid(), *outcomes, flush=True)
            sys.stdin.readline()  # the command to exit
            os._exit(0)
        os.waitpid(child, 0)
        print("ended", flush=True)
