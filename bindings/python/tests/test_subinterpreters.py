"""An interpreter that varta does not support cannot import it, and the attempt leaves others intact."""

from __future__ import annotations

import pytest
from conftest import output_of, python

# Subinterpreters that share the GIL with the main one, as mod_wsgi and uWSGI create them. In Python
# 3.12 and newer, isolated ones have a GIL of their own.
CREATE = """
try:
    import _interpreters
    number = _interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as _interpreters
    number = _interpreters.create(isolated=False)
"""

ATTEMPT = '''
_interpreters.run_string(number, """
for name in ("varta", "varta", "varta._varta"):
    try:
        __import__(name)
    except ImportError as error:
        print(error)
    else:
        print(name, "was imported")
""")
_interpreters.destroy(number)
'''

USE = """
import varta
assert varta.Varta.open("@nobody").beat(varta.Status.OK).reason is varta.DropReason.NO_OBSERVER
try:
    varta.Frame.decode(bytes(32))
except varta.DecodeError as error:
    print(error.kind)
"""


@pytest.mark.parametrize(
    "program",
    [CREATE + ATTEMPT + USE, CREATE + USE + ATTEMPT + USE],
    ids=["subinterpreter first", "main interpreter first"],
)
def test_only_the_main_interpreter_can_import_it(program: str) -> None:
    output, errors = output_of(python(program))
    assert errors == ""
    lines = output.splitlines()
    refusals = [line for line in lines if line != "BadMagic"]
    assert len(refusals) == 3 and len(lines) - 3 == program.count(USE)
    for line in refusals:
        assert "main interpreter" in line and "WSGIApplicationGroup" in line


ISOLATED = """
try:
    import _interpreters
    number = _interpreters.create("isolated")
except ImportError:
    import _xxsubinterpreters as _interpreters
    number = _interpreters.create(isolated=True)
"""


def test_an_isolated_interpreter_cannot_import_it() -> None:
    output, errors = output_of(python(USE + ISOLATED + ATTEMPT + USE))
    assert errors == ""
    first, *refusals, last = output.splitlines()
    assert (first, len(refusals), last) == ("BadMagic", 3, "BadMagic")
    assert all("interpreter" in line and "was imported" not in line for line in refusals)


def test_an_interpreter_without_a_lock_cannot_import_it() -> None:
    # Only a free-threaded Python can run without it.
    program = """
import sys
sys._is_gil_enabled = lambda: False
try:
    import varta
except ImportError as error:
    print(error)
sys._is_gil_enabled = lambda: True
import varta
"""
    output, errors = output_of(python(program))
    assert "needs the interpreter's lock (GIL)" in output and "PYTHON_GIL=0" in output
    assert errors == ""
