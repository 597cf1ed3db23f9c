"""Builds each block of C, C++, CMake and shell in the docs with the installed library and runs it."""

import os
import re
import shutil
import unittest
from pathlib import Path

from support import PREFIX, ROOT, STRICT, Running, flags, folder, needs, run

SOCKET = "/run/user/1000/varta.sock"
PAGES = [ROOT / "README.md", ROOT / "docs/c.md", ROOT / "docs/cpp.md"]


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), flags=re.M | re.S)
    return [(language, text) for language, text in found if language in languages]


def build(language: str, text: str, place: str) -> Path:
    source = Path(place) / f"block.{language}"
    source.write_text(text.replace(SOCKET, f"{place}/varta.sock"))
    compiler = ("c++", "-std=c++17") if language == "cpp" else ("cc", "-std=gnu11")
    run(*compiler, *STRICT, source, "-o", source.with_suffix(""), *flags())
    return source.with_suffix("")


class Docs(unittest.TestCase):
    def setUp(self) -> None:
        place = folder()
        self.addCleanup(place.cleanup)
        self.observer = Path(place.name) / "observer"
        self.agent = Path(place.name) / "agent"
        for program in (self.observer, self.agent):
            run("cc", "-std=gnu11", ROOT / f"examples/c/{program.name}.c", "-o", program, *flags())

    def as_agent(self, program: Path, place: str) -> None:
        """The program runs to its end, and an observer receives its beats."""
        socket = Path(place) / "varta.sock"
        with Running(self.observer, socket) as observer:
            observer.wait_for("its socket", socket.exists)
            with Running(program) as agent:
                self.assertEqual(agent.ends(), 0, agent.text())
                observer.prints(rf"pid {agent.process.pid}: beat")
                observer.prints(rf"pid {agent.process.pid}: exit with 0")

    def as_observer(self, program: Path, place: str) -> None:
        """The program receives an agent's beats and keeps running."""
        socket = Path(place) / "varta.sock"
        with Running(needs("stdbuf", "apt-get install coreutils"), "-oL", program) as observer:
            observer.wait_for("its socket", socket.exists)
            with Running(self.agent, socket) as agent:
                self.assertEqual(agent.ends(), 0, agent.text())
                observer.prints(rf"pid {agent.process.pid}: beat")
                observer.prints(rf"pid {agent.process.pid}: exit")
            self.assertIsNone(observer.process.poll())

    def test_programs(self) -> None:
        for page in PAGES:
            found = blocks(page, "c", "cpp")
            self.assertGreaterEqual(len(found), 2, page)
            for number, (language, text) in enumerate(found):
                with self.subTest(page=page.name, block=number), folder() as place:
                    program = build(language, text, place)
                    if "simulate" in text:
                        run(program)
                    elif re.search(r"observer_bind|Observer::bind", text):
                        self.as_observer(program, place)
                    else:
                        self.as_agent(program, place)

    def test_the_manual(self) -> None:
        for page in sorted((ROOT / "docs/man").iterdir()):
            for text in re.findall(r"^\.Bd -literal\n(.*?)^\.Ed$", page.read_text(), flags=re.M | re.S):
                with self.subTest(page=page.name), folder() as place:
                    self.as_agent(build("c", text.replace("\\e", "\\"), place), place)

    def test_commands(self) -> None:
        environment = {**os.environ, "PKG_CONFIG_PATH": f"{PREFIX}/lib/pkgconfig"}
        found = blocks(ROOT / "docs/c.md", "sh")
        self.assertTrue(found)
        for _, text in found:
            with folder() as place:
                shutil.copy(ROOT / "examples/c/agent.c", place)
                run("bash", "-euc", text, cwd=place, env=environment)
                run("./agent", "@nobody", cwd=place, env={**os.environ, "LD_LIBRARY_PATH": f"{PREFIX}/lib"})

    def test_cmake(self) -> None:
        cmake = needs("cmake", "apt-get install cmake")
        [(_, text)] = blocks(ROOT / "docs/c.md", "cmake")
        for library in ("varta::varta", "varta::static"):
            with folder() as place:
                shutil.copy(ROOT / "examples/c/agent.c", place)
                head = "cmake_minimum_required(VERSION 3.16)\nproject(p C)\n"
                Path(place, "CMakeLists.txt").write_text(head + text.replace("varta::varta", library))
                run(cmake, "-S", place, "-B", f"{place}/build", f"-DCMAKE_PREFIX_PATH={PREFIX}")
                run(cmake, "--build", f"{place}/build")
                run(f"{place}/build/agent", "@nobody")


if __name__ == "__main__":
    unittest.main()
