"""Imports the Python client varta 0.2, which has the same name as our package."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def varta_0_2(place: str) -> ModuleType:
    """Imports it completely from its own folder, and then removes it so that ours can be imported."""
    assert "varta" not in sys.modules
    sys.path.insert(0, place)
    try:
        module = importlib.import_module("varta")
        importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
    finally:
        sys.path.remove(place)
        for name in [name for name in sys.modules if name.split(".")[0] == "varta"]:
            del sys.modules[name]
    assert place in str(module.__file__)
    return module
