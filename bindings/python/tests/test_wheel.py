"""The contents and the compatibility of the wheel."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import needed

GLIBC = (2, 17)
LIBRARIES = {"libc.so.6", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"}


@pytest.fixture(scope="module")
def wheel() -> zipfile.ZipFile:
    return zipfile.ZipFile(needed("VARTA_WHEEL"))


def test_the_tag_matches_the_metadata(wheel: zipfile.ZipFile) -> None:
    name = Path(str(wheel.filename)).name
    assert re.fullmatch(
        r"varta-[\d.]+-cp39-abi3-manylinux2014_(\w+)\.manylinux_2_17_\1\.whl", name
    )
    (metadata,) = [n for n in wheel.namelist() if n.endswith("/METADATA")]
    text = wheel.read(metadata).decode()
    assert "Requires-Python: >=3.9" in text and "Requires-Dist" not in text


def test_the_wheel_has_exactly_the_files_of_the_package(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == {
        f"varta/{name}"
        for name in (
            "__init__.py", "__main__.py", "_observer.py", "_tasks.py", "_values.py", "_varta.abi3.so",
            "_varta.pyi", "asyncio.py", "panic.py", "py.typed", "secure.py", "v1.py",
        )
    }  # fmt: skip


def test_the_wheel_has_all_licences(wheel: zipfile.ZipFile) -> None:
    """Our licences, and those of the crates that the module links."""
    root = Path(__file__).resolve().parents[3]
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = wheel.read(f"{folder}/METADATA").decode()
    for file in ("LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY-NOTICES"):
        assert f"License-File: {file}\n" in metadata
        assert wheel.read(f"{folder}/licenses/{file}") == (root / file).read_bytes()
    assert "License-Expression: MIT OR Apache-2.0\n" in metadata


def test_the_module_needs_no_newer_glibc_than_its_tag(wheel: zipfile.ZipFile) -> None:
    """Read from the symbol versions that the module needs."""
    needed, versions = needs(wheel.read("varta/_varta.abi3.so"))
    others = {name for name in needed if not name.startswith("ld-linux")}
    assert others <= LIBRARIES, needed
    # Two unwinders in one process cannot unwind each other's stacks.
    assert "libgcc_s.so.1" in needed
    wanted = [tuple(map(int, v[6:].split("."))) for v in versions if v.startswith("GLIBC_2")]
    assert wanted and max(wanted) <= GLIBC, versions


def needs(elf: bytes) -> tuple[set[str], set[str]]:
    """The libraries and the versions of their symbols that a 64-bit ELF file needs."""
    assert elf[:6] == b"\x7fELF\x02\x01"
    (sections,) = struct.unpack_from("<Q", elf, 0x28)
    size, count = struct.unpack_from("<HH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, sections + n * size) for n in range(count)]

    def text(table: int, offset: int) -> str:
        start = headers[table][4] + offset
        return elf[start : elf.index(b"\0", start)].decode()

    libraries, versions = set(), set()
    for _, kind, _, _, offset, length, link, info, _, entry in headers:
        if kind == 6:  # the dynamic section
            for at in range(offset, offset + length, entry):
                tag, value = struct.unpack_from("<QQ", elf, at)
                if tag == 1:  # DT_NEEDED
                    libraries.add(text(link, value))
        elif kind == 0x6FFFFFFE:  # the version needs section
            at = offset
            for _ in range(info):
                _, entries, _, aux, following = struct.unpack_from("<HHIII", elf, at)
                one = at + aux
                for _ in range(entries):
                    _, _, _, name, step = struct.unpack_from("<IHHII", elf, one)
                    versions.add(text(link, name))
                    one += step
                at += following
    return libraries, versions


def test_importing_varta_imports_few_modules() -> None:
    """Only enum and its imports, because every program that beats loads it."""
    code = "import sys\nbefore = set(sys.modules)\nimport varta\nprint(*set(sys.modules) - before)"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    alone = "import sys\nbefore = set(sys.modules)\nimport enum\nprint(*set(sys.modules) - before)"
    enum = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True)
    extra = set(imported.stdout.split()) - set(enum.stdout.split()) - {"enum"}
    assert extra <= {"varta", "varta._values", "varta._varta"}, extra
