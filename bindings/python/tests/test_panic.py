"""Last words do not change the traceback or the exit code."""

from __future__ import annotations

import signal
import socket

import pytest
from conftest import DEADLINE, expect, output_of, python, until

from varta import NONCE_TERMINAL, Beat, Exit, Frame, Observer, Status
from varta.panic import (
    EntropyUnavailable,
    PanicInstallError,
    SocketBind,
    install_excepthook,
    install_excepthook_udp,
    install_excepthook_uds,
)

KEY = bytes(range(32))

INSTALL = """
import sys
from varta.panic import install_excepthook_uds
install_excepthook_uds(sys.argv[1])
"""

DEATHS = {
    "main": ("raise LookupError('in main')", 1, "LookupError: in main", 1),
    "thread": (
        """
import threading
def work():
    raise LookupError('in a thread')
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
        0,
        "LookupError: in a thread",
        1,
    ),
    "thread that calls sys.exit": (
        """
import threading
thread = threading.Thread(target=sys.exit)
thread.start()
thread.join()
""",
        0,
        "",
        0,
    ),
    "task": (
        """
import asyncio, gc
from varta.panic import install_in_loop
async def work():
    raise LookupError('in a task')
async def main():
    install_in_loop()
    install_in_loop()
    task = asyncio.ensure_future(work())
    await asyncio.wait([task])
    del task
    gc.collect()
asyncio.run(main())
""",
        0,
        "LookupError: in a task",
        1,
    ),
    "main of asyncio": (
        """
import asyncio
async def main():
    raise LookupError('in main')
asyncio.run(main())
""",
        1,
        "LookupError: in main",
        1,
    ),
    "exit": ("sys.exit(3)", 3, "", 0),
    "nothing": ("", 0, "", 0),
    "twice": (
        """
import threading
for _ in range(2):
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
""",
        0,
        "ZeroDivisionError",
        2,
    ),
}


@pytest.mark.parametrize("death", DEATHS)
def test_an_uncaught_exception_sends_last_words(observer: Observer, path: str, death: str) -> None:
    code, returncode, message, words = DEATHS[death]
    process = python(INSTALL + code, path)
    output, errors = output_of(process)
    assert (process.returncode, output) == (returncode, ""), errors
    assert message in errors and ("Traceback" in errors) == bool(message)
    for _ in range(words):
        beat = expect(observer, Beat)
        assert isinstance(beat, Beat)
        assert (beat.status, beat.nonce) == (Status.CRITICAL, NONCE_TERMINAL)
        assert beat.pid == process.pid
    assert not isinstance(observer.poll(0), Beat)
    plain = python("import sys\n" + code.replace("install_in_loop()", "pass"), path)
    # Without the hook the interpreter prints the same, except for line numbers and names.
    _, without = output_of(plain)
    assert plain.returncode == returncode
    assert kinds(without) == kinds(errors)


def kinds(errors: str) -> list[str]:
    return [line.split("(")[0] for line in errors.splitlines() if not line.startswith((" ", "task:", "future:"))]


def test_installing_in_a_running_loop_covers_its_tasks(observer: Observer, path: str) -> None:
    code = """
import asyncio, gc, sys
from varta.panic import install_excepthook
async def work():
    raise LookupError('in a task')
async def main():
    contexts = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
    install_excepthook(sys.argv[1])
    task = asyncio.ensure_future(work())
    await asyncio.wait([task])
    del task
    gc.collect()
    assert len(contexts) == 1, contexts
asyncio.run(main())
"""
    process = python(code, path)
    assert output_of(process) == ("", "")
    assert isinstance(expect(observer, Beat), Beat)


def test_the_previous_hook_still_runs(observer: Observer, path: str) -> None:
    code = f"import sys\nsys.excepthook = lambda *args: print('mine', args[0].__name__)\n{INSTALL}1/0"
    process = python(code, path)
    assert output_of(process) == ("mine ZeroDivisionError\n", "")
    assert process.returncode == 1
    expect(observer, Beat)


@pytest.mark.parametrize("calls", ["nothing", "the hook before it"])
def test_installing_again_restores_the_hooks(observer: Observer, path: str, calls: str) -> None:
    """After the hooks were replaced, only the newest endpoint gets one beat per exception."""
    code = f"""
import threading
def replace(module):
    before = module.excepthook
    module.excepthook = lambda *args: before(*args) if {calls != "nothing"} else None
replace(sys)
replace(threading)
for _ in range(3):
    install_excepthook_uds(sys.argv[2])
thread = threading.Thread(target=lambda: 1/0)
thread.start()
thread.join()
raise LookupError
"""
    with Observer.bind(path + "2", threshold=60) as newest:
        process = python(INSTALL + code, path, path + "2")
        _, errors = output_of(process)
        assert process.returncode == 1
        assert ("LookupError" in errors) == (calls != "nothing")
        for _ in range(2):
            beat = expect(newest, Beat)
            assert isinstance(beat, Beat) and beat.nonce == NONCE_TERMINAL
        assert not isinstance(newest.poll(0), Beat)
    assert observer.poll(0) is None


@pytest.mark.parametrize("transport", ["udp", "secure_udp"])
def test_last_words_are_sent_over_a_network(transport: str) -> None:
    keys = {"shared_keys": [KEY]} if transport == "secure_udp" else {}
    with Observer.bind(**{transport: ("127.0.0.1", 0)}, threshold=0.2, **keys) as observer:
        (address,) = observer.udp_addresses()
        key = f", {KEY!r}" if keys else ""
        code = f"""
from varta.panic import install_excepthook_{transport} as install
install({address!r}{key})
raise LookupError
"""
        process = python(code)
        output_of(process)
        assert process.returncode == 1
        beat = until(observer, Beat)
        assert isinstance(beat, Beat) and beat.claimed_pid == process.pid
        # Over a network, silence after last words is an exit.
        exit = until(observer, Exit)
        assert isinstance(exit, Exit) and (exit.code, exit.signal) == (None, None)


def test_last_words_of_forked_children_never_share_a_nonce() -> None:
    with Observer.bind(secure_udp=("127.0.0.1", 0), shared_keys=[KEY]) as observer:
        (address,) = observer.udp_addresses()
        code = f"""
import os
from varta.panic import install_excepthook_secure_udp
install_excepthook_secure_udp({address!r}, {KEY!r})
for _ in range(3):
    if os.fork() == 0:
        break
else:
    for _ in range(3):
        os.wait()
raise LookupError
"""
        output_of(python(code))
        pids = set()
        for _ in range(4):
            beat = expect(observer, Beat)
            assert isinstance(beat, Beat)
            pids.add(beat.claimed_pid)
        assert len(pids) == 4 and observer.stats()["replays"] == 0


def test_installing_without_an_observer_fails() -> None:
    with pytest.raises(SocketBind, match="No such file"):
        install_excepthook_uds("/nonexistent/varta.sock")
    assert issubclass(SocketBind, PanicInstallError)
    assert issubclass(EntropyUnavailable, PanicInstallError)
    with pytest.raises(ValueError, match="endpoint"):
        install_excepthook("udp://localhost:1")
    with pytest.raises(TypeError, match="addr"):
        install_excepthook_udp(7)


def test_installing_without_entropy_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from varta.panic import install_excepthook_secure_udp

    def no_entropy(size: int, flags: int = 0) -> bytes:
        raise BlockingIOError(11, "not yet")

    monkeypatch.setattr(os, "getrandom", no_entropy)
    with pytest.raises(EntropyUnavailable, match="not yet"):
        install_excepthook_secure_udp(("127.0.0.1", 9), KEY)


def test_a_crash_prints_its_traceback(observer: Observer, path: str) -> None:
    code = """
import os, sys
from varta.panic import install_excepthook_uds
install_excepthook_uds(sys.argv[1], faulthandler_signals=True)
os.kill(os.getpid(), 11)
"""
    process = python(code, path)
    output, errors = output_of(process)
    assert process.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in errors and 'File "<string>", line 5' in errors


def test_the_frame_is_critical_with_the_terminal_nonce(receiver: socket.socket, path: str) -> None:
    process = python(INSTALL + "1/0", path)
    frame = Frame.decode(receiver.recv(64))
    assert (frame.status, frame.nonce, frame.payload) == (Status.CRITICAL, NONCE_TERMINAL, 0)
    output_of(process)
    assert frame.pid == process.pid


def test_a_replaced_observer_receives_the_last_words(path: str) -> None:
    with Observer.bind(path):
        process = python(
            INSTALL + "print('ready', flush=True)\nsys.stdin.readline()\n1/0", path
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    with Observer.bind(path) as observer:
        process.communicate("go\n", timeout=2 * DEADLINE)
        assert isinstance(expect(observer, Beat), Beat)
    assert process.returncode == 1


def test_a_failure_to_send_does_not_hide_the_exception(observer: Observer, path: str) -> None:
    process = python(
        INSTALL
        + """
import varta.panic
class Broken:
    def say(self):
        raise RuntimeError("cannot send")
varta.panic._words = Broken()
raise LookupError("in main")
""",
        path,
    )
    _, errors = output_of(process)
    assert process.returncode == 1
    assert "RuntimeError: cannot send" in errors
    assert errors.endswith("LookupError: in main\n")
    assert "excepthook" not in errors


def test_nothing_is_hooked_if_faulthandler_fails(observer: Observer, path: str) -> None:
    process = python(
        """
import sys
from varta.panic import install_excepthook_uds
errors, sys.stderr = sys.stderr, None
try:
    install_excepthook_uds(sys.argv[1], faulthandler_signals=True)
except RuntimeError as error:
    print(error, sys.excepthook is sys.__excepthook__)
""",
        path,
    )
    assert output_of(process) == ("sys.stderr is None True\n", "")
