"""Helpers of the tests of the installed C and C++ library."""

import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
WORK = TARGET / "c"
# The Makefile installs the library here before these tests run.
PREFIX = WORK / "prefix"
PATIENCE = 120

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
COMPILERS = {"c": ("gcc", "clang"), "c++": ("g++", "clang++")}


def compilers(kind: str) -> list[str]:
    """The installed compilers; one is enough, except in CI, which must have both."""
    found = [compiler for compiler in COMPILERS[kind] if shutil.which(compiler)]
    if os.environ.get("CI") == "true" and len(found) < 2:
        raise AssertionError(f"CI must have {' and '.join(COMPILERS[kind])}")
    return found


def needs(program: str, remedy: str) -> str:
    """The path of a program. If it is missing, skips the test and reports how to get it; CI fails."""
    path = shutil.which(program)
    if path:
        return path
    if os.environ.get("CI") == "true":
        raise AssertionError(f"{program} is missing: {remedy}")
    raise unittest.SkipTest(f"{program} is missing; to run this test: {remedy}")


def run(*command: object, **options: object) -> str:
    """Runs a command that must succeed, and returns its output."""
    ended = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE * 2, **options,
    )
    if ended.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}\nended with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout


def pkg_config(*arguments: str) -> list[str]:
    paths = {"PKG_CONFIG_PATH": str(PREFIX / "lib/pkgconfig")}
    program = needs("pkg-config", "apt-get install pkg-config")
    return run(program, *arguments, env={**os.environ, **paths}).split()


def flags(*, static: bool = False) -> list[str]:
    """The compiler flags to build with the installed library."""
    if static:
        # Names the archive, because -lvarta prefers the shared library next to it.
        libraries = [
            f"{PREFIX}/lib/libvarta.a" if part == "-lvarta" else part
            for part in pkg_config("--static", "--libs", "varta")
        ]
        return [*pkg_config("--cflags", "varta"), *libraries]
    return [*pkg_config("--cflags", "--libs", "varta"), f"-Wl,-rpath,{PREFIX}/lib"]


def build(compiler: str, source: Path, into: Path, *more: str, static: bool = False) -> Path:
    standard = "-std=c++17" if source.suffix == ".cpp" else "-std=c11"
    into.mkdir(parents=True, exist_ok=True)
    program = into / source.stem
    run(
        compiler, standard, "-D_GNU_SOURCE", "-g", *STRICT, *more, source, "-o", program,
        *flags(static=static), "-pthread",
    )
    return program


def folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="varta-")


class Running:
    """A running program and its output; killed at the end of the with block."""

    def __init__(self, *command: object):
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=self.output, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()

    def text(self) -> str:
        self.output.seek(0)
        return self.output.read()

    def wait_for(self, what: str, met: Callable[[], bool], *, alive: bool = True) -> None:
        until = time.monotonic() + PATIENCE
        while not met():
            if time.monotonic() > until or (alive and self.process.poll() is not None):
                raise AssertionError(f"no {what} from {self.process.args}, which printed\n{self.text()}")
            time.sleep(0.02)

    def prints(self, pattern: str) -> None:
        self.wait_for(pattern, lambda: re.search(pattern, self.text()) is not None)

    def ends(self) -> int:
        return self.process.wait(PATIENCE)


def exported() -> list[str]:
    """The functions of the header."""
    header = (PREFIX / "include/varta.h").read_text()
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    return sorted(set(re.findall(r"^(?:int|int64_t|void|const char \*)\s*(varta_\w+)\(", header, flags=re.M)))
