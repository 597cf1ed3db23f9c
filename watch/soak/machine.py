"""What a run needs from the machine: its own network namespace, queue lengths, users."""

import ctypes
import fcntl
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0
"""Seconds to wait for a condition before it counts as failed. Machines may be held up for seconds."""

NOBODY = 65534
IS_ROOT = os.geteuid() == 0

_QUEUE = Path("/proc/sys/net/unix/max_dgram_qlen")
_IN_OWN_NETWORK = "VARTA_SOAK_NETWORK"
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_C = ctypes.CDLL(None, use_errno=True)


class Failed(AssertionError):
    """A check of a scenario failed. The text goes into the report."""


class Skipped(Exception):
    """The machine does not have what a scenario needs."""


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)


def wait_until(what: str, condition: Callable[[], object], patience: float = PATIENCE):
    """Returns the first result of `condition` that is true."""
    end = time.monotonic() + patience
    while not (result := condition()):
        check(time.monotonic() < end, f"waited {patience:.0f} s for {what}")
        time.sleep(0.01)
    return result


def need_root(what: str) -> None:
    """Skips a scenario for users other than root. With CI=true it fails instead."""
    if not IS_ROOT:
        reason = f"{what} needs root"
        raise Failed(reason) if os.environ.get("CI") == "true" else Skipped(reason)


def enter_own_network() -> None:
    """Moves into a new network namespace if this is root, so that queue settings affect only this run."""
    if not IS_ROOT:
        return
    if _C.unshare(_CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        check(os.environ.get("CI") != "true", f"no network namespace: {why}")
        print(f"soak: no network namespace ({why}); the queue length stays as it is", file=sys.stderr)
        return
    os.environ[_IN_OWN_NETWORK] = "1"
    up = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, up)


def set_queue(length: int) -> None:
    """Sets how many datagrams can wait in a Unix socket that is bound from now on."""
    if os.environ.get(_IN_OWN_NETWORK):
        _QUEUE.write_text(str(length))
    elif int(_QUEUE.read_text()) != length:
        need_root(f"a queue of {length}")
        raise Skipped(f"a queue of {length} needs a network namespace")


def die_with_parent() -> None:
    """For a child: the kernel kills it when its parent ends, in whatever way."""
    _C.prctl(_PR_SET_PDEATHSIG, 9)


def kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(filter(str.isdigit, minor.split("-")[0])))
