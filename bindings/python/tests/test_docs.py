"""Runs the Python code blocks of docs/python.md and the READMEs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DEADLINE, wait_until

from varta import Beat, Exit, Observer

ROOT = Path(__file__).parent.parent.parent.parent
PAGES = ["docs/python.md", "README.md", "bindings/python/README.md"]
SHARED = "/run/user/1000/varta.sock"


def blocks(page: str) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with its first line number."""
    text = (ROOT / page).read_text()
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: block.start()].count("\n") + 1, block.group(1)) for block in found]


EVERY = [
    pytest.param(code, id=f"{page}:{line}")
    for page in PAGES
    for line, code in blocks(page)
    # Python 3.9 has no `match` statement.
    if sys.version_info >= (3, 10) or "match " not in code
]


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("code", EVERY)
def test_every_code_block_runs(code: str, path: str) -> None:
    # Each test has its own endpoint, because tests run in parallel.
    isolated = code.replace(SHARED, path).replace("@varta-docs", f"@varta-docs-{os.getpid()}")
    if SHARED not in code:
        program = start(isolated)
        output, errors = program.communicate(timeout=DEADLINE)
        assert (program.returncode, errors) == (0, ""), errors
        return
    if "Observer.bind" in code:
        program = start(isolated)
        wait_until("the observer", lambda: os.path.exists(path))
        beat = [sys.executable, "-m", "varta", "beat", path, "--count", "3", "--every", "0.01"]
        subprocess.run(beat, check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
        lines: list[str] = []
        while not lines or "exit" not in lines[-1]:
            line = program.stdout.readline()
            assert line, (lines, program.stderr.read())
            lines.append(line)
        program.kill()
        program.communicate(timeout=DEADLINE)
        assert sum(": beat, ok" in line or ": OK, payload" in line for line in lines) == 3, lines
    else:
        with Observer.bind(path, threshold=60) as observer:
            program = start(isolated)
            output, errors = program.communicate(timeout=DEADLINE)
            assert (program.returncode, errors) == (0, "")
            payloads = []
            while not isinstance(event := observer.poll(DEADLINE), Exit):
                assert isinstance(event, Beat), event
                payloads.append(event.payload)
            assert payloads == list(range(len(payloads))) and len(payloads) >= 5
            assert output == "sent\n" * len(payloads)


def test_the_commands_of_the_quick_start_run(path: str) -> None:
    text = (ROOT / "docs/python.md").read_text()
    watch, beat = re.findall(r"^    python -m varta (.*)$", text, re.MULTILINE)
    with subprocess.Popen(
        [sys.executable, "-m", "varta", *watch.replace(SHARED, path).split()],
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        wait_until("the observer", lambda: os.path.exists(path))
        output = subprocess.run(
            [sys.executable, "-m", "varta", *beat.replace(SHARED, path).split()],
            capture_output=True, text=True, check=True, timeout=DEADLINE,
        ).stdout  # fmt: skip
        assert output.count(": sent\n") == 5
        lines = [watcher.stdout.readline()]
        while "exit code 0" not in lines[-1]:
            assert lines[-1], lines
            lines.append(watcher.stdout.readline())
        watcher.kill()
    assert sum(": beat, ok" in line for line in lines) == 5


def test_every_page_has_the_expected_number_of_blocks() -> None:
    assert [len(blocks(page)) for page in PAGES] == [13, 2, 2]
