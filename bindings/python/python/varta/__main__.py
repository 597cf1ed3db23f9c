"""Try varta without code: run `python -m varta watch /run/user/1000/varta.sock`, and in another
terminal `python -m varta beat /run/user/1000/varta.sock`."""

from __future__ import annotations

import argparse
import os
import sys
import time

from varta import Exit, Observer, Varta


def beat(arguments: argparse.Namespace) -> None:
    with Varta.open(arguments.endpoint) as agent:
        count = 0
        while arguments.count is None or count < arguments.count:
            if count:
                time.sleep(arguments.every)
            outcome = agent.beat(arguments.status, arguments.payload)
            count += 1
            print(f"beat {count}, {arguments.status}: {outcome}", flush=True)


def watch(arguments: argparse.Namespace) -> None:
    endpoints = arguments.endpoint or [
        os.environ.get("VARTA_ENDPOINT") or "/run/varta/varta.sock"
    ]
    exits = 0
    with Observer.bind(
        *endpoints, threshold=arguments.threshold, version1=arguments.version1
    ) as observer:
        for event in observer:
            print(event, flush=True)
            exits += isinstance(event, Exit)
            if arguments.exits is not None and exits >= arguments.exits:
                return


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m varta", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="beat|watch")

    command = commands.add_parser("beat", help="send beats to an observer")
    command.add_argument("endpoint", nargs="?", help="default: $VARTA_ENDPOINT")
    command.add_argument("--every", type=float, default=0.5, metavar="SECONDS")
    command.add_argument("--count", type=int, help="exit after this many beats")
    command.add_argument("--status", choices=("ok", "degraded", "critical"), default="ok")
    command.add_argument("--payload", type=int, default=0)
    command.set_defaults(run=beat)

    command = commands.add_parser("watch", help="receive beats and print events")
    command.add_argument("endpoint", nargs="*", help="default: $VARTA_ENDPOINT")
    command.add_argument("--threshold", type=float, default=2.0, metavar="SECONDS")
    command.add_argument("--version1", action="store_true", help="also accept version 1 frames")
    command.add_argument("--exits", type=int, help="exit after this many agents have exited")
    command.set_defaults(run=watch)
    return top


def main() -> int:
    arguments = parser().parse_args()
    try:
        arguments.run(arguments)
    except (OSError, ValueError, OverflowError) as error:
        print(f"varta: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
