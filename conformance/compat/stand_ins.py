"""A pytest plugin that makes the test files of the Python package varta 0.2 importable.

They import private modules of that package. This plugin creates these modules. Their names fail
when they are used, except for two that have a public counterpart.
"""

import errno
import sys
from types import ModuleType

import varta
import varta.panic

COUNTERPARTS = {"_vlp": {"decode": varta.Frame.decode}, "_errno": {"ENOBUFS": errno.ENOBUFS}}


class Private:
    def __init__(self, *_: object, **__: object) -> None:
        raise NotImplementedError("this name is private to varta 0.2")


class PrivateModule(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Private


for name in ("_errno", "_fork_epoch", "_transport", "_vlp", "_vlp_secure"):
    module = PrivateModule(f"varta.{name}")
    vars(module).update(COUNTERPARTS.get(name, {}))
    sys.modules[module.__name__] = module
    setattr(varta, name, module)
varta.panic._claim_terminal_timestamp = Private
