"""Builds the examples with pkg-config and CMake, shared and static, and runs them."""

import re
import signal
import shutil
import subprocess
import unittest
from pathlib import Path

from support import PATIENCE, PREFIX, ROOT, WORK, Running, flags, folder, needs, pkg_config, run

EXAMPLES = ROOT / "examples"
OBSERVERS = ("observer", "observer_epoll", "observer_libuv", "observer_tasks", "observer_timerfd", "observer_cpp")


def by_pkg_config(static: bool) -> Path:
    into = WORK / f"examples-pkg-config-{'static' if static else 'shared'}"
    into.mkdir(parents=True, exist_ok=True)
    libuv = pkg_config("--cflags", "--libs", "libuv") if shutil.which("pkg-config") else []
    for source in sorted((EXAMPLES / "c").glob("*.c")):
        more = libuv if "libuv" in source.stem else []
        run("cc", "-std=gnu11", "-pthread", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, "-o", into / source.stem, *flags(static=static), *more)
    for source in sorted((EXAMPLES / "cpp").glob("*.cpp")):
        run("c++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, "-o", into / f"{source.stem}_cpp", *flags(static=static))
    return into


def by_cmake(static: bool) -> Path:
    cmake = needs("cmake", "apt-get install cmake")
    into = WORK / f"examples-cmake-{'static' if static else 'shared'}"
    shutil.rmtree(into, ignore_errors=True)
    library = f"-DVARTA=varta::{'static' if static else 'varta'}"
    run(cmake, "-S", EXAMPLES, "-B", into, f"-DCMAKE_PREFIX_PATH={PREFIX}", library)
    run(cmake, "--build", into, "-j2")
    return into


class Examples(unittest.TestCase):
    def all_run(self, programs: Path) -> None:
        for observer in OBSERVERS:
            with self.subTest(programs=programs.name, observer=observer):
                self.observer_reports_the_agents(programs, observer)

    def observer_reports_the_agents(self, programs: Path, name: str) -> None:
        with folder() as place, Running(programs / name, f"{place}/varta.sock") as observer:
            socket = Path(place) / "varta.sock"
            observer.wait_for("its socket", socket.exists)
            for agent in ("agent", "agent_status", "agent_cpp"):
                with Running(programs / agent, socket) as beating:
                    pid = beating.process.pid
                    self.assertEqual(beating.ends(), 0, beating.text())
                observer.prints(rf"pid {pid}: beat")
                observer.prints(rf"pid {pid}: exit")
            observer.process.send_signal(signal.SIGTERM)
            self.assertEqual(observer.ends(), 0, observer.text())
            self.assertFalse(socket.exists())

    def test_pkg_config_shared(self) -> None:
        self.all_run(by_pkg_config(static=False))

    def test_pkg_config_static(self) -> None:
        programs = by_pkg_config(static=True)
        self.assertNotIn("libvarta", run("readelf", "-d", programs / "agent"))
        self.observer_reports_the_agents(programs, "observer")

    def test_cmake_shared(self) -> None:
        programs = by_cmake(static=False)
        self.assertIn("libvarta.so.0", run("readelf", "-d", programs / "agent"))
        self.observer_reports_the_agents(programs, "observer_epoll")

    def test_cmake_static(self) -> None:
        programs = by_cmake(static=True)
        self.assertNotIn("libvarta", run("readelf", "-d", programs / "agent"))
        self.observer_reports_the_agents(programs, "observer_cpp")

    def test_prefork_and_worker(self) -> None:
        programs = by_pkg_config(static=False)
        with folder() as place, Running(programs / "observer", f"{place}/varta.sock") as observer:
            socket = Path(place) / "varta.sock"
            observer.wait_for("its socket", socket.exists)
            output = run(programs / "prefork", socket)
            ended = re.findall(r"worker (\d+) ended with (\d+)", output)
            self.assertEqual(sorted(code for _, code in ended), ["10", "11", "12"])
            for pid, code in ended:
                observer.prints(rf"pid {pid}: exit with {code}")
            self.assertIn("15 beats", run(programs / "worker_cpp", socket))
            observer.prints("payload 5")

    def test_workers_with_a_task_each(self) -> None:
        programs = by_pkg_config(static=False)
        with folder() as place, Running(programs / "observer_tasks", f"{place}/varta.sock") as observer:
            socket = Path(place) / "varta.sock"
            observer.wait_for("its socket", socket.exists)
            workers = subprocess.Popen([programs / "workers", socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            with workers:
                # The job that hangs ends when its standard input does.
                observer.prints(r"task \d+ \(worker\): task\n")
                observer.prints(r"task \d+ \(worker\): stall of its promise span\n")
                output, _ = workers.communicate(timeout=PATIENCE)
            self.assertRegex(output, "worker 0 was late with [1-9]")
            observer.prints(r"task \d+ \(worker\): violation, too-late, \d+ times\n")
            observer.process.send_signal(signal.SIGTERM)
            self.assertEqual(observer.ends(), 0, observer.text())

    def test_an_agent_without_an_observer_reports_it(self) -> None:
        programs = by_pkg_config(static=False)
        with folder() as place:
            output = run(programs / "agent_status", f"{place}/nobody")
            self.assertIn("no crash handler", output)
            self.assertIn("no observer", output)


if __name__ == "__main__":
    unittest.main()
