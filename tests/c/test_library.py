"""What is in the library and how its structs lie, against committed lists."""

import re
import subprocess
import unittest

from support import HERE, PREFIX, WORK, exported, needs, run, there

LIBRARY = PREFIX / "lib/libvarta.so"
EXPECTED = HERE / "expected"


def dynamic(tag: str) -> list[str]:
    return re.findall(rf"\({tag}\).*\[(.*)\]", run("readelf", "-d", LIBRARY))


def structs() -> dict[str, list[str]]:
    header = re.sub(r"/\*.*?\*/", "", (PREFIX / "include/varta.h").read_text(), flags=re.S)
    found = re.findall(r"typedef struct (varta_\w+) \{(.*?)\}", header, flags=re.S)
    return {name: re.findall(r"(\w+)(?:\[\d+\])?;", body) for name, body in found}


class Library(unittest.TestCase):
    def same_as(self, name: str, lines: list[str]) -> None:
        """On a difference: say it in CHANGELOG.md, and commit the new list."""
        expected = (EXPECTED / name).read_text().splitlines()
        self.assertEqual(lines, expected, f"tests/c/expected/{name} has another list")

    def test_symbols(self) -> None:
        symbols = run("nm", "-D", "--defined-only", LIBRARY).split("\n")
        names = sorted(line.split()[-1] for line in symbols if line)
        self.same_as("symbols.txt", names)
        self.assertEqual(names, exported())

    def test_soname_and_what_it_needs(self) -> None:
        self.assertEqual(dynamic("SONAME"), ["libvarta.so.0"])
        self.assertEqual((PREFIX / "lib/libvarta.so").readlink().name, "libvarta.so.0")
        # The loader's own name differs by machine; all else is the C library's.
        needed = {name for name in dynamic("NEEDED") if not name.startswith("ld-linux")}
        self.assertLessEqual(needed, {"libc.so.6", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libdl.so.2"})

    def test_layout(self) -> None:
        lines = []
        for struct, fields in structs().items():
            lines.append(f'printf("{struct} %zu\\n", sizeof({struct}));')
            for field in fields:
                where = f"offsetof({struct}, {field}), sizeof((({struct} *)0)->{field})"
                lines.append(f'printf("{struct}.{field} %zu %zu\\n", {where});')
        text = "#include <stdio.h>\n#include <varta.h>\nint main(void) {" + "\n".join(lines) + "}\n"
        WORK.mkdir(exist_ok=True)
        for compiler in there("c"):
            program = WORK / "layout"
            run(compiler, "-x", "c", f"-I{PREFIX}/include", "-", "-o", program, input=text)
            self.same_as("layout.txt", run(program).splitlines())

    def test_links_beside_another_rust_archive(self) -> None:
        """Two archives of Rust in one program: both have a standard library inside."""
        rustc = needs("rustc", "see https://rustup.rs")
        folder = WORK / "second"
        folder.mkdir(parents=True, exist_ok=True)
        run(rustc, "--crate-type=staticlib", "-O", "-Cpanic=unwind", HERE / "fixtures/second.rs", "-o", folder / "libsecond.a")
        text = (
            "#include <stdint.h>\n#include <varta.h>\nuint32_t second_sum(uint32_t up_to);\n"
            "int main(void) { varta_agent *a; int e = varta_connect(&a, \"@nobody-is-here\", NULL);\n"
            "if (e) return 1; e = varta_beat(a, VARTA_STATUS_OK, second_sum(4)); varta_close(a);\n"
            "return e != VARTA_DROPPED_NO_OBSERVER || second_sum(4) != 10; }\n"
        )
        libraries = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"]
        for compiler in there("c"):
            for archives in (["libvarta.a", "libsecond.a"], ["libsecond.a", "libvarta.a"]):
                paths = [folder / n if n == "libsecond.a" else PREFIX / "lib" / n for n in archives]
                program = folder / "both"
                run(compiler, f"-I{PREFIX}/include", "-x", "c", "-", "-x", "none", *paths, *libraries, "-o", program, input=text)
                subprocess.run([program], check=True)

    def test_starts_no_thread(self) -> None:
        self.assertNotIn("pthread_create", run("nm", "-D", "--undefined-only", LIBRARY))


if __name__ == "__main__":
    unittest.main()
