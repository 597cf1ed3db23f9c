"""Rule 1: a kernel-attested beat proves life, whatever its nonce."""

from .book import MS, S, Story, story
from .senders import LAST_WORDS, Local

APP = Local(1, pid=4321)


@story()
def a_quiet_life(s: Story) -> None:
    """Beats come in time and in order, and nothing else is said."""
    s.accepts(0, APP, nonce=1, payload=7)
    s.polls(1 * S)
    s.accepts(1 * S, APP, nonce=2, status="degraded", payload=2**32 - 1)
    s.polls(2 * S)
    s.accepts(2 * S, APP, nonce=3, status="critical")
    s.polls(3 * S)


@story()
def restart(s: Story) -> None:
    """A handle is made anew in the same process and counts from 1 again. It is heard."""
    for nonce in (1, 2, 3):
        s.accepts(nonce * S, APP, nonce)
    s.accepts(4 * S, APP, nonce=1, forward=False)
    s.accepts(5 * S, APP, nonce=2)
    s.polls(6 * S)
    s.polls(7 * S, APP.stall(last_nonce=2, last_ns=5 * S))
