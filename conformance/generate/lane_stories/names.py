"""The names of agents, which their events have too."""

from .book import MS, S, Process, Story, story

APP = 4321
OTHER = 5678


@story()
def a_declared_name(s: Story) -> None:
    """Each event of the agent has it, also those of its tasks and its exit."""
    app = Process(APP)
    s.declares_name(0, app, "indexer")
    s.joins(0, app)
    s.beats(0, app)
    s.declares(0, app, "reader")
    s.rings(0, app, "indexer beat", "reader task")
    s.polls(1 * S, "reader stall beat")
    s.polls(2 * S, "indexer stall")
    s.beats(3 * S, app)
    s.rings(3 * S, app, "indexer recovered", "indexer beat")
    s.beats(3_500 * MS, app, count=2)
    s.exits(3_600 * MS, app, "indexer beat x2", "indexer exit", code=3)


@story()
def a_name_that_comes_later(s: Story) -> None:
    """Until a process declares one, its name is that of its program."""
    app = Process(APP)
    s.sends(0, app, "4321 beat")
    s.runs(1 * MS, app, "a-program-with-a-long-name")
    s.sends(2 * MS, app, "a-program-with- beat")
    s.declares_name(3 * MS, app, "indexer")
    s.sends(4 * MS, app, "indexer beat")
    s.polls(4 * MS + 2 * S, "indexer stall")
    s.exits(3 * S, app, "indexer exit", signal=9)


@story()
def the_same_name_and_the_same_pid(s: Story) -> None:
    """A name may be that of several agents. That of a pid is the name of whoever has it."""
    app, other = Process(APP), Process(OTHER)
    for process in (app, other):
        s.declares_name(0, process, "worker")
        s.sends(0, process, "worker beat")
    s.exits(1 * MS, app, "worker exit")
    again = Process(APP)
    s.declares_name(2 * MS, again, "reader")
    s.sends(3 * MS, again, "reader beat")
    s.polls(2 * S, "worker stall")
    s.polls(3 * MS + 2 * S, "reader stall")


@story()
def a_name_that_is_not_safe_to_print(s: Story) -> None:
    """What a terminal would interpret is written as numbers, and the name is cut after 63 bytes."""
    app = Process(APP)
    for at, name, shown in (
        (1, " a\x1b[2Jb\n", "a\\u{1b}[2Jb"),
        (2, "f\u00fcr\u202e", "f\u00fcr\\u{202e}"),
        (3, "x" * 70, "x" * 63),
        (4, "\u65e5" * 30, "\u65e5" * 21),
        (5, "a\u00fc" * 30, "a\u00fc" * 21),
        (6, "\x07" * 30, ("\\u{7}" * 13)[:63]),
        (7, "a \"b\" {c}", "a \"b\" {c}"),
    ):
        s.declares_name(at, app, name)
        s.sends(at, app, f"{shown} beat")
