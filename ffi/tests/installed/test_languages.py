"""The shared library as other languages use it: the header alone must be enough."""

import ctypes
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from support import HERE, PREFIX, WORK, folder, needs, pkg_config, run

TYPES = {
    "uint8_t": ctypes.c_uint8, "uint16_t": ctypes.c_uint16, "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64, "size_t": ctypes.c_size_t,
    "int": ctypes.c_int, "char": ctypes.c_char, "void": None,
}


def header() -> str:
    return re.sub(r"/\*.*?\*/", "", (PREFIX / "include/varta.h").read_text(), flags=re.S)


def type_of(text: str) -> type | None:
    """Maps a C type to ctypes."""
    if "*" in text:
        return ctypes.c_char_p if text.replace(" ", "").startswith("constchar*") else ctypes.c_void_p
    return TYPES[text.replace("const", "").strip()]


def library() -> ctypes.CDLL:
    """The library, with every function declared as the header declares it."""
    loaded = ctypes.CDLL(str(PREFIX / "lib/libvarta.so.0"))
    declared = re.findall(r"^((?:int|int64_t|void|const char) ?\*?)\s*(varta_\w+)\(([^)]*)\);", header(), flags=re.M)
    for result, name, arguments in declared:
        function = getattr(loaded, name)
        function.restype = type_of(result)
        parts = [] if arguments.strip() == "void" else arguments.split(",")
        function.argtypes = [type_of(re.sub(r"\w+\s*$", "", part.strip())) for part in parts]
    return loaded


def struct(name: str) -> type:
    """A struct of the header, by the layout rules of C."""
    [body] = re.findall(rf"typedef struct {name} \{{(.*?)\}} {name};", header(), flags=re.S)
    fields = []
    for kind, field, count in re.findall(r"^\s*([\w ]+?[ *]+)(\w+)(?:\[(\d+)\])?;", body, flags=re.M):
        # A pointer in a struct is an address.
        of = ctypes.c_void_p if "*" in kind else type_of(kind)
        fields.append((field, of * int(count) if count else of))
    return type(name, (ctypes.Structure,), {"_fields_": fields})


class FromPython(unittest.TestCase):
    def test_beats_arrive(self) -> None:
        varta, event, options = library(), struct("varta_event")(), struct("varta_observer_options")()
        self.assertEqual(ctypes.sizeof(event), 128)
        options.size = ctypes.sizeof(options)
        options.threshold_ns = 60_000_000_000
        observer, agent = ctypes.c_void_p(), ctypes.c_void_p()
        with folder() as place:
            endpoint = f"{place}/varta.sock".encode()
            self.assertEqual(varta.varta_observer_bind(ctypes.byref(observer), endpoint, ctypes.byref(options)), 0)
            self.assertEqual(varta.varta_connect(ctypes.byref(agent), endpoint, None), 0)
            self.assertEqual(varta.varta_beat(agent, 1, 2**32 - 1), 0)
            self.assertEqual(varta.varta_observer_poll(observer, ctypes.byref(event), 60_000), 1)
            self.assertEqual(varta.varta_event_name(event.kind), b"beat")
            self.assertEqual((event.pid, event.payload, event.nonce), (os.getpid(), 2**32 - 1, 1))
            info = struct("varta_agent_info")()
            info.size = ctypes.sizeof(info)
            self.assertEqual(varta.varta_observer_agents(observer, ctypes.byref(info), 1), 1)
            self.assertEqual((info.pid, info.uid, info.threshold_ns), (os.getpid(), os.getuid(), 60_000_000_000))
            self.assertEqual(info.name, Path("/proc/self/comm").read_bytes().rstrip())
            varta.varta_close(agent)
            varta.varta_observer_close(observer)

    def test_errors_have_text(self) -> None:
        varta = library()
        agent = ctypes.c_void_p()
        code = varta.varta_connect(ctypes.byref(agent), b"udp://a-name:1", None)
        self.assertLess(code, 0)
        self.assertIsNone(agent.value)
        self.assertNotEqual(varta.varta_strerror(code), b"unknown error")


class FromGo(unittest.TestCase):
    def test_cgo(self) -> None:
        go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
        if go is None:
            needs("go", "apt-get install golang-go")
        into = WORK / "go"
        into.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "CGO_CFLAGS": " ".join(pkg_config("--cflags", "varta")),
            "CGO_LDFLAGS": f"{' '.join(pkg_config('--libs', 'varta'))} -Wl,-rpath,{PREFIX}/lib",
            "GOFLAGS": "-mod=mod", "GO111MODULE": "off", "CGO_ENABLED": "1",
            "GOCACHE": str(into / "cache"),
        }
        run(go, "build", "-o", into / "beats", HERE / "fixtures/beats.go", env=environment)
        with folder() as place:
            ended = subprocess.run([into / "beats", f"{place}/varta.sock"], capture_output=True, text=True, timeout=120)
        self.assertEqual((ended.returncode, ended.stdout), (0, "beat 1 7\nbeat 2 8\nstall\n"), ended.stderr)


if __name__ == "__main__":
    unittest.main()
