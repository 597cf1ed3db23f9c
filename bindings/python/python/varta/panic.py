"""Last words: an uncaught exception is reported to the observer before the process ends.

    from varta.panic import install_excepthook_uds

    install_excepthook_uds("/run/varta/varta.sock")

The previous hook runs afterwards, so the traceback and the exit code do not change. The socket
is opened when the hook is installed. If no observer is bound there, that raises SocketBind.
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
    """The socket to the observer could not be opened."""


class EntropyUnavailable(PanicInstallError):
    """The operating system has no random bytes yet, which sealing needs."""


# The sender of the newest installation.
_words: LastWords | None = None


def install_excepthook(
    endpoint: str | PathLike[str], *, faulthandler_signals: bool = False
) -> None:
    """Sends last words to an endpoint of any transport."""
    _install(lambda: LastWords.open(endpoint), faulthandler_signals)


def install_excepthook_uds(
    path: str | PathLike[str], *, faulthandler_signals: bool = False
) -> None:
    """Sends last words over a Unix socket.

    With `faulthandler_signals`, a crash prints a Python traceback to stderr, unless the
    faulthandler is already enabled.
    """
    _install(lambda: LastWords.open(path), faulthandler_signals)


def install_excepthook_udp(addr: _Address, *, faulthandler_signals: bool = False) -> None:
    """Sends last words over UDP, to a pair (host, port)."""
    _install(lambda: LastWords.open_udp(addr), faulthandler_signals)


def install_excepthook_secure_udp(
    addr: _Address, key: bytes, *, faulthandler_signals: bool = False
) -> None:
    """Sends last words over UDP, sealed with a 32-byte key."""
    try:
        os.getrandom(1, os.GRND_NONBLOCK)
    except OSError as error:
        raise EntropyUnavailable(str(error)) from error
    _install(lambda: LastWords.open_secure_udp(addr, key), faulthandler_signals)


def install_in_loop(loop: AbstractEventLoop | None = None) -> None:
    """Also sends last words for the tasks of an asyncio loop, by default the running one.

    asyncio handles the exceptions that a task does not catch, so the other hooks never see them.
    A hook that is installed while a loop runs is installed in that loop too.
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
            _send()
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
    # Before the hooks are installed, because this may fail.
    if faulthandler_signals and not faulthandler.is_enabled():
        faulthandler.enable()
    _words = words
    # Another hook may have replaced ours since the last time.
    if not isinstance(sys.excepthook, _ExceptHook):
        sys.excepthook = _ExceptHook(sys.excepthook)
    if not isinstance(threading.excepthook, _ThreadHook):
        threading.excepthook = _ThreadHook(threading.excepthook)
    # If asyncio is not imported, no loop is running.
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            install_in_loop(loop)


def _send() -> None:
    if _words is None:
        return
    # The outcome does not matter to a process that is crashing, and a failure here must not
    # hide the exception.
    try:
        _words.say()
    except Exception:
        from logging import getLogger

        getLogger("varta").exception("cannot send last words")


class _Hook:
    """Sends last words, then calls the previous hook."""

    # Set while a thread runs a hook, so that a nested hook of ours does not send again.
    _inside = threading.local()

    def __init__(self, previous: Callable[..., object]) -> None:
        self._previous = previous

    def _call(self, *arguments: object, send: bool = True) -> None:
        if hasattr(self._inside, "hook"):
            self._previous(*arguments)
            return
        if send:
            _send()
        self._inside.hook = self
        try:
            self._previous(*arguments)
        finally:
            del self._inside.hook


class _ExceptHook(_Hook):
    def __call__(
        self, kind: type[BaseException], value: BaseException, traceback: TracebackType | None
    ) -> None:
        self._call(kind, value, traceback)


class _ThreadHook(_Hook):
    def __call__(self, args: threading.ExceptHookArgs) -> None:
        # SystemExit ends a thread on purpose.
        self._call(args, send=args.exc_type is not SystemExit)
