"""The tests of the Python package varta 0.2, against our wheel."""

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import peers

PACKAGE = "varta 0.2.0 from PyPI"
SECONDS = 300


def shipped() -> set[str]:
    return peers.tests(peers.source("python"), "tests/test_*.py", r"^def (test_\w+)")


def run(listed: dict[str, str]) -> dict[str, str]:
    python = peers.output([peers.ROOT / "bindings/python/run", "install"]).split()[-1]
    deselected = (word for test in listed for word in ("--deselect", test))
    outcomes = pytest(python, "tests", *deselected)
    return outcomes | pytest(python, *listed, stdout=subprocess.DEVNULL)


def pytest(python: str, *arguments: str, **settings: object) -> dict[str, str]:
    report = peers.TARGET / "compat/python.xml"
    command = [python, "-m", "pytest", "--quiet", "-p", "stand_ins", "-p", "no:cacheprovider"]
    command += ["-W", "ignore:Unknown pytest.mark"]
    done = subprocess.run(
        [*command, "--junitxml", report, *arguments],
        cwd=peers.source("python"),
        env=os.environ
        | {
            "PYTHONPATH": str(Path(__file__).parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "VARTA_WATCH_BIN": str(peers.our_daemon()),
        },
        timeout=SECONDS,
        **settings,
    )
    if done.returncode > 1:  # 1 is that tests failed
        done.check_returncode()
    outcomes: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.get("classname", "").replace(".", "/")
        test = f"{file}.py::{case.get('name', '').split('[')[0]}"
        bad = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        # A test with parameters fails if one of its cases fails.
        outcomes[test] = bad[0] if bad else outcomes.get(test, "passed")
    return outcomes
