"""The commands `python -m varta beat` and `python -m varta watch`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from conftest import DEADLINE, wait_until


def command(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "varta", *map(str, arguments)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=DEADLINE)
    return process.returncode, output, errors


def test_watch_prints_the_beats_and_the_exit_of_beat(path: str) -> None:
    watch = command("watch", path, "--threshold", "30", "--exits", "1")
    wait_until("the observer", lambda: os.path.exists(path))
    beat = command(
        "beat", "--every", "0.01", "--count", "3", "--status", "degraded", "--payload", "7",
        VARTA_ENDPOINT=path,
    )  # fmt: skip
    code, output, errors = result_of(beat)
    assert (code, errors) == (0, "")
    assert output == "".join(f"beat {n}, degraded: sent\n" for n in (1, 2, 3))
    code, output, errors = result_of(watch)
    assert (code, errors) == (0, "")
    assert output.count("beat, degraded, payload 7") == 3
    assert output.rstrip().endswith("exit, exit code 0, last status degraded")


def test_ctrl_c_ends_both_commands(path: str) -> None:
    for process in (command("watch", VARTA_ENDPOINT=path), command("beat", path)):
        if process.args[-1] == "watch":
            wait_until("the observer", lambda: os.path.exists(path))
        else:
            assert process.stdout is not None and process.stdout.readline()
        process.send_signal(signal.SIGINT)
        code, _, errors = result_of(process)
        assert (code, errors) == (130, "")


def test_errors_and_help_are_printed() -> None:
    code, output, errors = result_of(command("watch", "udp://localhost:1"))
    assert (code, output) == (1, "") and errors.startswith("varta: bad endpoint")
    code, output, errors = result_of(command("beat", "/x", "--payload", "-1"))
    assert (code, output) == (1, "") and errors.startswith("varta: payload: -1")
    code, output, errors = result_of(command("sing"))
    assert code == 2 and "usage: python -m varta" in errors
    code, output, errors = result_of(command("--help"))
    assert code == 0 and "watch" in output and "beat" in output
