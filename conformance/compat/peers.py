"""The packages of varta 0.2, and the tests in them."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


def source(name: str) -> Path:
    """The source folder of a package."""
    return Path(output([ROOT / "tools/peers", f"{name}-source"]).strip())


def our_daemon() -> Path:
    return Path(output([ROOT / "tools/built"]).strip()) / "varta-watch"


def output(command: list, **settings) -> str:
    command = list(map(str, command))
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **settings).stdout


def tests(folder: Path, pattern: str, test: str) -> set[str]:
    """The names of all tests in the files of a folder, whether they are compiled or not."""
    return {
        f"{file.relative_to(folder)}::{name}"
        for file in folder.glob(pattern)
        for name in re.findall(test, file.read_text(), re.MULTILINE | re.DOTALL)
    }
