"""A pytest plugin with which the test files of the Python package varta 0.2 can be imported.

They import private modules of that package at their top. Here those modules exist, but what is in
them fails when it is used, except for the two names that have a public counterpart.
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
