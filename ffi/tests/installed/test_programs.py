"""Runs C and C++ programs: plain, with sanitizers, under valgrind."""

import os
import subprocess
import unittest
from pathlib import Path

from support import HERE, WORK, build, compilers, folder, needs, run

PROGRAMS = HERE / "programs"
ALL = ("agents", "observers", "tasks", "misuse", "growing", "threads", "crashing")
# Sanitizers and valgrind handle signals themselves, so programs that fork or crash run without.
QUIET = ("agents", "observers", "tasks", "misuse", "growing")
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]


class Programs(unittest.TestCase):
    def passes(self, program: Path, *under: str) -> None:
        with folder() as place:
            output = run(*under, program, env={**os.environ, "FOLDER": place}, cwd=place)
        for line in output.splitlines():
            if line.startswith("SKIPPED"):
                print(line)

    def needs_sanitizers(self, compiler: str) -> None:
        """Skips the test if the compiler has no sanitizers; CI must have them."""
        with folder() as place:
            main = subprocess.run(
                [compiler, "-x", "c", *SANITIZERS, "-", "-o", f"{place}/main"],
                input="int main(void) { return 0; }", text=True, capture_output=True,
            )
        if main.returncode != 0 and os.environ.get("CI") != "true":
            self.skipTest(f"{compiler} has no sanitizers: apt-get install libclang-rt-dev")

    def test_plain(self) -> None:
        for compiler in compilers("c"):
            for name in ALL:
                with self.subTest(compiler=compiler, program=name):
                    self.passes(build(compiler, PROGRAMS / f"{name}.c", WORK / compiler))

    def test_static(self) -> None:
        for name in ("agents", "observers", "tasks", "crashing"):
            with self.subTest(program=name):
                program = build("cc", PROGRAMS / f"{name}.c", WORK / "static", static=True)
                self.assertNotIn("libvarta", run("readelf", "-d", program))
                self.passes(program)

    def test_built_with_an_older_header(self) -> None:
        older = f"-I{HERE / 'fixtures/before_tasks'}"
        for name in ("agents", "observers"):
            with self.subTest(program=name):
                program = build("cc", PROGRAMS / f"{name}.c", WORK / "older", older)
                self.assertNotIn("varta_task", run("cc", "-E", "-D_GNU_SOURCE", older, PROGRAMS / f"{name}.c"))
                self.passes(program)

    def test_with_sanitizers(self) -> None:
        for compiler in compilers("c"):
            for name in QUIET:
                with self.subTest(compiler=compiler, program=name):
                    self.needs_sanitizers(compiler)
                    into = WORK / f"{compiler}-sanitized"
                    self.passes(build(compiler, PROGRAMS / f"{name}.c", into, *SANITIZERS))

    def test_under_valgrind(self) -> None:
        valgrind = needs("valgrind", "apt-get install valgrind")
        under = [valgrind, "--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect,possible"]
        for name in QUIET:
            with self.subTest(program=name):
                self.passes(build("cc", PROGRAMS / f"{name}.c", WORK / "valgrind"), *under)

    def test_cpp(self) -> None:
        for compiler in compilers("c++"):
            for more in ([], SANITIZERS):
                with self.subTest(compiler=compiler, more=more):
                    if more:
                        self.needs_sanitizers(compiler)
                    into = WORK / f"{compiler}{'-sanitized' if more else ''}"
                    self.passes(build(compiler, PROGRAMS / "hpp.cpp", into, *more))


if __name__ == "__main__":
    unittest.main()
