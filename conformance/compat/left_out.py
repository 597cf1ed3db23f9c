"""The list of tests that are left out, and checks that it is up to date."""

import json
from pathlib import Path

LIST = Path(__file__).with_name("left-out.json")


class Unusable(Exception):
    """The list does not match the shipped tests."""


def read(suite: str, shipped: set[str]) -> dict[str, str]:
    """The tests that are left out, each with its reason. An entry may be a whole file."""
    listed = {}
    for group in json.loads(LIST.read_text())[suite]:
        for entry in group["tests"]:
            tests = {test for test in shipped if test == entry or test.startswith(f"{entry}::")}
            if not tests:
                raise Unusable(f"{LIST.name} lists {entry}, which the package does not ship")
            listed.update(dict.fromkeys(tests, group["why"]))
    return listed


def compare(shipped: set[str], listed: dict[str, str], outcomes: dict[str, str]) -> list[str]:
    """Returns the problems. A test without an outcome was not compiled or not run."""
    problems = [f"{test} ran, but was not found in the source" for test in set(outcomes) - shipped]
    for test in shipped:
        outcome = outcomes.get(test, "not run")
        if test in listed and outcome == "passed":
            problems.append(f"{test} passes, so take it off {LIST.name}")
        elif test not in listed and outcome != "passed":
            problems.append(f"{test}: {outcome}")
    return sorted(problems)
