"""One cell of the matrix: an agent beats, forks and is killed; an observer says what it saw."""

from collections.abc import Callable

from log import Disagreement
from observing import Exporting, Watched
from directory import Place
from agent import CHILD, Child, Puppet

BEFORE = [("ok", 1), ("degraded", 4294967295), ("critical", 7), ("ok", 0)]
AFTER = [("ok", 8), ("ok", 9)]


def play(
    agent: list[str], observe: Callable[[Place], Watched | Exporting], place: Place, child_does: Child
) -> None:
    """Beats, forks, beats, is killed; the accounts of both sides have to agree."""
    observer = observe(place)
    try:
        puppet = Puppet(agent, place.endpoint)
        try:
            puppet.beat(BEFORE)
            child = puppet.fork(child_does)
            # An observer that looks up each sender has to hear a process while it lives.
            told = dict(puppet.did.beats)
            if child_does is Child.UNHEARD:
                del told[child]
            agree(observer.hears(told), puppet, observer)
            puppet.end_child()
            puppet.beat(AFTER)
            agree(observer.hears(told), puppet, observer)
        finally:
            puppet.kill()
        # An exit is seen where the kernel names the sender, by those who look.
        exits = place.transport == "uds" and isinstance(observer, Watched)
        puppet.did.ends = {
            puppet.pid: "signal 9" if exits else "silent",
            child: "exit 0" if exits else "silent",
        }
        if child_does is Child.UNHEARD:
            del puppet.did.beats[child], puppet.did.ends[child]
        agree(observer.sees(puppet.did), puppet, observer)
        if isinstance(observer, Watched):
            sent = sum(map(len, puppet.did.beats.values()))
            counted = observer.counters()
            unheard = len(CHILD) if child_does is Child.UNHEARD else 0
            if (counted["beats"], counted["received"]) != (sent, sent + unheard):
                raise Disagreement(f"{sent} beats were sent, the observer counted {counted}")
    finally:
        observer.close()


def agree(they_do: bool, puppet: Puppet, observer: Watched | Exporting) -> None:
    if not they_do:
        raise Disagreement(f"the agent did\n{puppet.did}\n    the observer saw\n{observer.account()}")
