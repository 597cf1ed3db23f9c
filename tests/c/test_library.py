"""The library as it is installed, and how its structs lie, against a committed list."""

import re
import unittest

from support import HERE, PREFIX, WORK, run, there

LIBRARY = PREFIX / "lib/libvarta.so"
EXPECTED = HERE / "expected/layout.txt"


def structs() -> dict[str, list[str]]:
    header = re.sub(r"/\*.*?\*/", "", (PREFIX / "include/varta.h").read_text(), flags=re.S)
    found = re.findall(r"typedef struct (varta_\w+) \{(.*?)\}", header, flags=re.S)
    return {name: re.findall(r"(\w+)(?:\[\d+\])?;", body) for name, body in found}


class Library(unittest.TestCase):
    def test_soname(self) -> None:
        """As it is installed; ffi/check looks at what is exported and needed."""
        [soname] = re.findall(r"\(SONAME\).*\[(.*)\]", run("readelf", "-d", LIBRARY))
        self.assertEqual(soname, "libvarta.so.0")
        self.assertEqual(LIBRARY.readlink().name, soname)
        self.assertTrue((LIBRARY.parent / soname).readlink().name.startswith(soname + "."))

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
            # On a difference: say it in CHANGELOG.md, and commit the new list.
            self.assertEqual(run(program), EXPECTED.read_text())


if __name__ == "__main__":
    unittest.main()
