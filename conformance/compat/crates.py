"""Compiles the tests of a crate of varta 0.2 with our own manifest, and runs them.

The test files stay in the registry folder of cargo.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import peers

PLACE = peers.TARGET / "compat"

# How often a test is tried. These tests have deadlines, and the machine may be busy.
ATTEMPTS = 5
SECONDS = 120

# A test that is left out may never finish.
SECONDS_LEFT_OUT = 5


def shipped(crate: Path) -> set[str]:
    """All tests, including those that need a feature, and all examples."""
    test = r"^ *#\[test\]$.*?^ *fn (\w+)"
    examples = {f"examples/{file.name}" for file in crate.glob("examples/*.rs")}
    return peers.tests(crate, "tests/*.rs", test) | examples


def package(name: str, manifest: str, crate: Path, files: set[str]) -> Path:
    """Writes a package of these tests and examples. It uses the versions of our lock file."""
    home = PLACE / name
    home.mkdir(parents=True, exist_ok=True)
    head = f'[package]\nname = "{name}-compat"\nedition = "2021"\n'
    # Some tests need features that our crates do not have.
    rest = '[workspace]\n[profile.dev]\ndebug = 0\n[lints.rust]\nunexpected_cfgs = "allow"\n'
    targets = "".join(
        f'[[{file.split("s/")[0]}]]\nname = "{Path(file).stem}"\npath = "{crate / file}"\n'
        for file in sorted(files)
    )
    (home / "Cargo.toml").write_text(head + manifest + targets + rest)
    shutil.copy(peers.ROOT / "Cargo.lock", home)
    return home


def build(home: Path, features: list[str], **variables: str) -> dict[str, Path]:
    """Returns the program of each file that compiles; the errors of others go to stderr."""
    command = ["cargo", "build", "--quiet", "--tests", "--examples", "--keep-going"]
    command += ["--features", ",".join(features), "--message-format", "json-render-diagnostics"]
    command += ["--manifest-path", home / "Cargo.toml", "--target-dir", PLACE / "build"]
    settings = {"stdout": subprocess.PIPE, "text": True, "env": os.environ | variables}
    programs = {}
    for line in subprocess.run(command, **settings).stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            source = Path(message["target"]["src_path"])
            programs[f"{source.parent.name}/{source.name}"] = Path(message["executable"])
    return programs


def run(program: Path, file: str, listed: dict[str, str]) -> dict[str, str]:
    """Runs the tests of one file, those that are left out one by one. Returns their outcomes."""
    names = [test.partition("::")[2] for test in listed if test.startswith(f"{file}::")]
    skips = (word for name in names for word in ("--skip", name))
    outcomes = once(program, SECONDS, *skips)
    for name in [name for name, outcome in outcomes.items() if outcome == "failed"]:
        for attempt in range(2, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            outcomes |= once(program, SECONDS, name, show_failure=last)
            if outcomes[name] == "passed":
                print(f"{file}::{name} passed in attempt {attempt}")
                break
    for name in names:
        outcomes |= once(program, SECONDS_LEFT_OUT, name)
    return {f"{file}::{name}": outcome for name, outcome in outcomes.items()}


def once(program: Path, seconds: float, *names: str, show_failure: bool = False) -> dict[str, str]:
    process = subprocess.Popen(
        [program, "--exact", *names], cwd=PLACE, env=os.environ | {"RUST_BACKTRACE": "0"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        text, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # This also ends the daemons that it has started.
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
    results = re.findall(r"^test (\w+) \.\.\. (ok|FAILED)$", text, re.MULTILINE)
    if show_failure and ("FAILED" in text or not results):
        print(text)
    return {name: "passed" if word == "ok" else "failed" for name, word in results}
