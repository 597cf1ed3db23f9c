"""Last words: an exception that nobody catches is told to the observer first.

    from varta.panic import install_excepthook_uds

    install_excepthook_uds("/run/varta/varta.sock")

What was hooked before runs next, so the traceback and the exit code are what they were. The
socket is opened when the hook is installed; nobody bound there is a SocketBind.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading

from varta._varta import LastWords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from os import PathLike
    from types import TracebackType
    from typing import Any, Callable

    _Address = tuple[str, int]

__all__ = [
    "EntropyUnavailable",
    "PanicInstallError",
    "SocketBind",
    "install_excepthook",
    "install_excepthook_secure_udp",
    "install_excepthook_udp",
    "install_excepthook_uds",
    "install_in_loop",
]


class PanicInstallError(Exception):
    """The hook could not be installed."""


class SocketBind(PanicInstallError):
    """There is no way to the observer."""


class EntropyUnavailable(PanicInstallError):
    """The operating system gives no random bytes, without which nothing can be sealed."""


# What says last words: that of the newest installation.
_words: LastWords | None = None


def install_excepthook(
    endpoint: str | PathLike[str], *, faulthandler_signals: bool = False
) -> None:
    """Says last words at an endpoint, whatever its transport."""
    _install(lambda: LastWords.open(endpoint), faulthandler_signals)


def install_excepthook_uds(
    path: str | PathLike[str], *, faulthandler_signals: bool = False
) -> None:
    """Says last words over a Unix socket.

    With `faulthandler_signals`, a crash prints a Python traceback on stderr, unless the
    faulthandler is enabled already.
    """
    _install(lambda: LastWords.open(path), faulthandler_signals)


def install_excepthook_udp(addr: _Address, *, faulthandler_signals: bool = False) -> None:
    """Says last words over UDP, to a pair of host and port."""
    _install(lambda: LastWords.open_udp(addr), faulthandler_signals)


def install_excepthook_secure_udp(
    addr: _Address, key: bytes, *, faulthandler_signals: bool = False
) -> None:
    """Says last words over UDP, sealed with a key of 32 bytes."""
    try:
        os.getrandom(1, os.GRND_NONBLOCK)
    except OSError as error:
        raise EntropyUnavailable(str(error)) from error
    _install(lambda: LastWords.open_secure_udp(addr, key), faulthandler_signals)


def install_in_loop(loop: AbstractEventLoop | None = None) -> None:
    """Has an asyncio loop, by default the running one, say last words for its tasks too.

    asyncio keeps to itself what a task has not caught. A hook that is installed while a loop
    runs does this by itself.
    """
    from asyncio import get_running_loop

    loop = get_running_loop() if loop is None else loop
    previous = loop.get_exception_handler()
    if isinstance(previous, _LoopHandler):
        return
    loop.set_exception_handler(_LoopHandler(previous))


class _LoopHandler:
    def __init__(
        self, previous: Callable[[AbstractEventLoop, dict[str, Any]], object] | None
    ) -> None:
        self._previous = previous

    def __call__(self, loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("exception") is not None:
            _say()
        if self._previous is None:
            loop.default_exception_handler(context)
        else:
            self._previous(loop, context)


def _install(open_words: Callable[[], LastWords], faulthandler_signals: bool) -> None:
    global _words
    try:
        words = open_words()
    except OSError as error:
        raise SocketBind(str(error)) from error
    # It comes before the hooks, because it may fail.
    if faulthandler_signals and not faulthandler.is_enabled():
        faulthandler.enable()
    _words = words
    # Another hook may have replaced ours since the last time.
    if not isinstance(sys.excepthook, _ExceptHook):
        sys.excepthook = _ExceptHook(sys.excepthook)
    if not isinstance(threading.excepthook, _ThreadHook):
        threading.excepthook = _ThreadHook(threading.excepthook)
    # Without asyncio imported, no loop runs.
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            install_in_loop(loop)


def _say() -> None:
    if _words is None:
        return
    # Whether anybody heard it changes nothing for who has this to say, nor does it hide
    # what is being died of.
    try:
        _words.say()
    except Exception:
        from logging import getLogger

        getLogger("varta").exception("last words could not be said")


class _Hook:
    """Says last words, then calls the hook that was there before."""

    # Set while a thread is in a hook: one of ours that is called from there adds nothing.
    _inside = threading.local()

    def __init__(self, previous: Callable[..., object]) -> None:
        self._previous = previous

    def _call(self, *about: object, say: bool = True) -> None:
        if hasattr(self._inside, "hook"):
            self._previous(*about)
            return
        if say:
            _say()
        self._inside.hook = self
        try:
            self._previous(*about)
        finally:
            del self._inside.hook


class _ExceptHook(_Hook):
    def __call__(
        self, kind: type[BaseException], value: BaseException, traceback: TracebackType | None
    ) -> None:
        self._call(kind, value, traceback)


class _ThreadHook(_Hook):
    def __call__(self, args: threading.ExceptHookArgs) -> None:
        # A thread that raises SystemExit has ended as it meant to.
        self._call(args, say=args.exc_type is not SystemExit)
