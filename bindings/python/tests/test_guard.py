"""A panic becomes a RuntimeError, in every function that Python can call."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import output_of, python

from varta import _varta

SOURCE = Path(__file__).parent.parent / "src"


def test_a_panic_becomes_a_runtime_error() -> None:
    code = """
from varta import _varta
for _ in range(3):
    try:
        _varta._panic("oh no")
    except Exception as error:
        print(type(error).__name__, error)
"""
    output, errors = output_of(python(code))
    line = "RuntimeError varta panicked, which is a bug in varta: oh no\n"
    assert output == 3 * line
    assert "oh no" in errors


def test_every_exported_function_is_guarded() -> None:
    found = []
    for file in sorted(SOURCE.glob("*.rs")):
        text = file.read_text()
        bare = re.findall(r"#\[(?:pyo3::)?(pymethods|pyfunction)\b", text)
        if file.name == "guard.rs":
            # The two macros, each of which uses the attribute once and guards the body.
            assert sorted(bare) == ["pyfunction", "pymethods"]
            assert text.count("$crate::guard::contain(move || $body)") == 2
        elif bare:
            found.append((file.name, bare))
        exported = re.findall(r"unsafe|extern \"C\"", text)
        assert not exported, f"{file.name} bypasses PyO3"
    assert found == []
    # Python calls the code for `beat` directly.
    text = "".join(file.read_text() for file in sorted((SOURCE / "sys").glob("*.rs")))
    (body,) = re.findall(r'^unsafe extern "C" fn \w+.*?^}', text, re.MULTILINE | re.DOTALL)
    before, guarded = body.split("guard::contain(")
    assert before.count("unsafe {") == 1 and guarded.count("beat(") == 1
    assert text.count("PyMethodDef {") == 1


def test_every_exported_name_exists() -> None:
    assert "_panic" in _varta.__all__ and "Varta" in _varta.__all__
    for name in _varta.__all__:
        assert getattr(_varta, name) is not None
