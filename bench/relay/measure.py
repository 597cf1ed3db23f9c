"""Runs one benchmark of varta-relay, and writes the results as JSON.

    bench/relay/run --only NAME [--quick] [--json FILE]
    bench/relay/run --list

bench/run runs all benchmarks and writes a report.

`transition` measures the time from a transition to a subscriber of NATS, on one machine: a program that
writes the history as the daemon does records 100 transitions a second. `catch-up` measures how many
transitions a second the relay publishes that were recorded while it was not running, until a stream has
confirmed the last of them and the states of their agents.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import nats

ROOT = Path(__file__).resolve().parent.parent.parent
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
RELAY, HISTORY = RELEASE / "varta-relay", RELEASE / "examples" / "history"
SERVER = Path(sys.prefix) / "bin" / "nats-server"
PORT, METRICS = 14_222, 19_646
URL = f"nats://127.0.0.1:{PORT}"
DEADLINE = 120.0


@contextmanager
def running(*command: object) -> Iterator[None]:
    words = [str(word) for word in command]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def server(folder: Path):
    store = ["--jetstream", "--store_dir", folder / "streams"]
    return running(SERVER, "--addr", "127.0.0.1", "--port", PORT, *store)


def relay(folder: Path):
    return running(
        RELAY, "--server", URL, "--history-dir", folder / "history", "--create-stream",
        "--cursor-file", folder / "cursor.json", "--metrics-addr", f"127.0.0.1:{METRICS}",
    )  # fmt: skip


def metrics() -> dict[str, float]:
    """The metrics without labels; nothing while the relay is starting."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{METRICS}/metrics", timeout=DEADLINE) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines if not line.startswith("#") and "{" not in line)
    return {name.removeprefix("varta_relay_"): float(value) for name, value in pairs}


async def latencies(wanted: int) -> list[float]:
    """Milliseconds from each transition until it was received."""
    client = await nats.connect(URL)
    subscription = await client.subscribe("varta.event.>")
    found = []
    while len(found) < wanted:
        message = await subscription.next_msg(timeout=DEADLINE)
        now = time.time()
        moment = json.loads(message.data)["time"]
        # Python has no nanoseconds here.
        recorded = datetime.fromisoformat(f"{moment[:26]}+00:00").timestamp()
        found.append((now - recorded) * 1e3)
    await client.close()
    return found


def transition(quick: bool, folder: Path) -> dict:
    with ExitStack() as stack:
        stack.enter_context(server(folder))
        stack.enter_context(running(HISTORY, "write", folder / "history", "web1", 100))
        stack.enter_context(relay(folder))
        end = time.monotonic() + DEADLINE
        while metrics().get("published_total", 0) < 1:
            assert time.monotonic() < end, "nothing is published"
            time.sleep(0.05)
        found = sorted(asyncio.run(latencies(500 if quick else 2_000)))
    median, p99 = statistics.median(found), found[int(len(found) * 0.99)]
    return {
        "targets": [
            {"name": "a transition reaches a subscriber of NATS: median", "value": median, "unit": "ms"}
            | {"to": None, "ratio": None, "at_most": 5, "measured": True}
        ],
        "times": [],
        "figures": [{"name": "a transition reaches a subscriber of NATS: p99", "value": p99, "unit": "ms"}],
    }


def catch_up(quick: bool, folder: Path) -> dict:
    count = 100_000 if quick else 400_000
    write = [HISTORY, "write", folder / "history", "web1", 1_000_000, count]
    subprocess.run([str(word) for word in write], check=True)
    with server(folder), relay(folder):
        began, seen = None, {}
        end = time.monotonic() + DEADLINE
        while seen.get("records_total", 0) < count or seen["waiting_messages"]:
            assert time.monotonic() < end, f"published only {seen}"
            time.sleep(0.02)
            seen = metrics()
            if began is None and seen.get("published_total", 0):
                began, before = time.monotonic(), seen["records_total"]
        took = time.monotonic() - began
    # Of five records of an agent, four are transitions.
    rate = (count - before) * 4 / 5 / took
    return {
        "targets": [
            {"name": "catching up: transitions a second", "value": rate, "unit": "/s"}
            | {"to": None, "ratio": None, "at_least": 20_000, "measured": True}
        ],
        "times": [],
        "figures": [{"name": "catching up: messages a second", "value": seen["published_total"] / took, "unit": "/s"}],
    }


BENCHES = {"transition": transition, "catch-up": catch_up}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a shorter run, with more noise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write to FILE instead of stdout")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--only", choices=BENCHES, metavar="NAME", help="the benchmark")
    which.add_argument("--list", action="store_true", help="print the names of the benchmarks")
    wanted = parser.parse_args()
    if wanted.list:
        print("\n".join(BENCHES))
        return 0
    build = ["cargo", "build", "--quiet", "--release", "-p", "varta-relay", "--bins", "--examples"]
    subprocess.run(build, cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="varta-bench-") as folder:
        text = json.dumps(BENCHES[wanted.only](wanted.quick, Path(folder)), indent=2) + "\n"
    if wanted.json:
        wanted.json.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
