"""The process's own line: when it is read, what is news in it, and when its silence is a Stall."""

from .book import MS, NEVER, S, Hot, Info, Process, Story, story

APP = 4321
OTHER = 5678


@story()
def beats_through_a_page(s: Story) -> None:
    """One event for all beats since the last look. A bell makes the observer look at once."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(1 * MS, app)
    s.rings(2 * MS, app, "4321 beat")
    s.beats(500 * MS, app, count=500)
    s.polls(1 * S - 1)
    s.polls(1 * S, "4321 beat x500")
    s.rings(1_100 * MS, app)
    s.beats(1_200 * MS, app, status="critical", payload=2**32 - 1, count=2)
    s.beats(1_300 * MS, app, status="degraded", payload=7)
    s.rings(1_300 * MS, app, "4321 beat x3")


@story()
def each_page_at_its_own_pace(s: Story) -> None:
    """A page is read at the multiples of half of its agent's threshold, and at most every 10 ms."""
    app, other = Process(APP), Process(OTHER)
    for process in (app, other):
        s.joins(7 * MS, process)
        s.beats(7 * MS, process)
        s.rings(7 * MS, process, f"{process.pid} beat")
    s.sets_threshold(9 * MS, agent=1, ns=100 * MS)
    for process in (app, other):
        s.beats(10 * MS, process)
    s.polls(50 * MS - 1)
    s.polls(50 * MS, "4321 beat")
    s.sets_threshold(50 * MS, agent=1, ns=12 * MS)
    s.beats(52 * MS, app)
    s.rings(52 * MS, app, "4321 beat")
    s.beats(53 * MS, app)
    s.polls(60 * MS - 1)
    s.polls(60 * MS, "4321 beat")
    s.beats(1 * S - 1, app)
    s.polls(1 * S, "4321 beat", "5678 beat")


@story()
def pages_that_share_a_pace(s: Story) -> None:
    """Half of a threshold is rounded down to a round number, so that pages are read together."""
    app, other = Process(APP), Process(OTHER)
    for process in (app, other):
        s.joins(0, process)
        s.beats(0, process)
        s.rings(0, process, f"{process.pid} beat")
    s.sets_threshold(1 * MS, agent=1, ns=499 * MS)
    s.sets_threshold(1 * MS, agent=2, ns=400 * MS)
    for process in (app, other):
        s.beats(1 * MS, process)
    s.polls(200 * MS - 1)
    s.polls(200 * MS, "4321 beat", "5678 beat")


@story()
def silence_of_a_process(s: Story) -> None:
    """A Stall exactly one threshold after the last beat, once, and a recovery by the next beat."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(300 * MS, app)
    s.polls(1 * S, "4321 beat")
    s.polls(2_300 * MS - 1)
    s.polls(2_300 * MS, "4321 stall")
    s.polls(60 * S)
    s.beats(61 * S, app)
    s.rings(61 * S + 5, app, "4321 recovered", "4321 beat")
    s.polls(63 * S - 1)
    s.polls(63 * S, "4321 stall")


@story()
def read_again_before_a_verdict(s: Story) -> None:
    """A beat that came after the last look counts, although no look is due."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(0, app)
    s.rings(900 * MS, app, "4321 beat")
    s.polls(1_900 * MS)
    s.beats(1_950 * MS, app)
    s.polls(2_000 * MS, "4321 beat")
    s.polls(3_950 * MS - 1)
    s.polls(3_950 * MS, "4321 stall")


@story()
def a_late_look(s: Story) -> None:
    """A look that finds a line overdue reports it at once, after the beats before."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(1 * S, app, count=3)
    s.polls(60 * S, "4321 beat x3", "4321 stall")
    s.beats(61 * S, app)
    s.polls(70 * S, "4321 recovered", "4321 beat", "4321 stall")


@story()
def judged_from_the_first_beat(s: Story) -> None:
    """A process that has a page and never beat is not listed, and its silence is nothing."""
    app = Process(APP)
    s.joins(0, app)
    s.polls(60 * S)
    s.exits(61 * S, app, code=1)


@story()
def the_nonce_before_the_page(s: Story) -> None:
    """Beats that were counted before the page was there are not counted again."""
    app = Process(APP)
    s.joins(0, app, nonce=41)
    s.beats(1 * S, app)
    s.rings(1 * S, app, "4321 beat")


@story()
def a_page_and_datagrams(s: Story) -> None:
    """Both feed one agent; beats that came as datagrams are not counted again."""
    app = Process(APP)
    s.sends(0, app, "4321 beat")
    s.joins(1 * MS, app, nonce=1)
    s.beats(2 * MS, app, count=4)
    s.rings(3 * MS, app, "4321 beat x4")
    s.sends(4 * MS, app, "4321 beat")
    s.beats(5 * MS, app, count=2)
    s.rings(6 * MS, app, "4321 beat x2")
    s.polls(2_005 * MS - 1)
    s.polls(2_005 * MS, "4321 stall")
    s.sends(3 * S, app, "4321 recovered", "4321 beat")


@story()
def what_is_no_news(s: Story) -> None:
    """Invalid lines are no sign of life: each leaves the last one in force."""
    app = Process(APP)
    good = Info().word()
    s.joins(0, app)
    s.beats(1 * S, app)
    s.rings(1 * S, app, "4321 beat")
    for hot in (
        Hot(0, 0, good, 2),
        Hot(1 * S - 1, 0, good, 2),
        Hot(1_100 * MS, 5 * S, good, 2),
        Hot(1_100 * MS, NEVER, good, 2),
        Hot(1_100 * MS, 0, 3, 2),
        Hot(1_100 * MS, 0, 5 << 8, 2),
    ):
        s.writes(1_200 * MS, app, 0, hot)
        s.rings(1_200 * MS, app)
    s.polls(3 * S, "4321 stall")


@story()
def a_beat_in_the_future(s: Story) -> None:
    """It counts as of now."""
    app = Process(APP)
    s.joins(0, app)
    s.writes(1 * S, app, 0, Hot(1_000 * S, 0, Info().word(), 1))
    s.rings(1 * S, app, "4321 beat")
    s.polls(3 * S - 1)
    s.polls(3 * S, "4321 stall")


@story()
def an_exit_after_the_last_beats(s: Story) -> None:
    """The page is read once more: its beats come first, and the last status is the true one."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(1 * MS, app)
    s.rings(1 * MS, app, "4321 beat")
    s.beats(2 * MS, app, status="critical", count=2)
    s.exits(3 * MS, app, "4321 beat x2", "4321 exit", signal=9)
    s.polls(60 * S)


@story()
def a_connection_that_ends(s: Story) -> None:
    """The process lives on: it is judged from its last beat, and a datagram or page continues it."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(500 * MS, app)
    s.detaches(600 * MS, app, "4321 beat")
    s.polls(2_500 * MS - 1)
    s.polls(2_500 * MS, "4321 stall")
    s.sends(3 * S, app, "4321 recovered", "4321 beat")
    s.joins(3 * S, app, nonce=2)
    s.beats(4 * S, app)
    s.rings(4 * S, app, "4321 beat")
    s.polls(6 * S, "4321 stall")


@story()
def an_observer_that_was_stopped(s: Story) -> None:
    """Processes that beat meanwhile are simply read; the others are given the pause back."""
    app, other = Process(APP), Process(OTHER)
    for process in (app, other):
        s.joins(0, process)
        s.beats(0, process)
        s.rings(0, process, f"{process.pid} beat")
    s.beats(11 * S - 1, app, count=110)
    s.comes_late(11 * S, 1 * S, "observer paused")
    s.polls(11 * S, "4321 beat x110")
    s.polls(12 * S - 1)
    s.polls(12 * S, "5678 stall")
    s.polls(13 * S, "4321 stall")


@story()
def two_silent_processes(s: Story) -> None:
    """Stalls come by deadline, whichever page was handed out first."""
    app, other = Process(APP), Process(OTHER)
    s.joins(0, app)
    s.joins(0, other)
    s.beats(20 * MS, other)
    s.beats(30 * MS, app)
    s.rings(40 * MS, app, "4321 beat")
    s.rings(40 * MS, other, "5678 beat")
    s.polls(1_040 * MS)
    s.polls(2_030 * MS, "5678 stall", "4321 stall")


@story(tasks=False)
def tasks_are_not_wanted(s: Story) -> None:
    """The observer reads the process's own line alone."""
    app = Process(APP)
    s.declares(0, app, "ingest")
    s.joins(0, app)
    s.beats(1 * S, app)
    s.polls(1 * S, "4321 beat")
    s.polls(3 * S, "4321 stall")


@story()
def users_that_are_refused(s: Story) -> None:
    """Another user gets no page, and nothing that it writes is read."""
    app = Process(APP)
    s.is_refused(0, app, uid=7, errno=13)
    s.beats(1 * S, app)
    s.polls(60 * S)


@story()
def an_older_beat_in_the_page(s: Story) -> None:
    """A line that was written before a datagram that was heard first is counted, and no more."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(1 * MS, app)
    s.rings(1 * MS, app, "4321 beat")
    s.beats(100 * MS, app, status="critical")
    s.sends(500 * MS, app, "4321 beat")
    s.rings(600 * MS, app, "4321 beat")
    s.polls(2_500 * MS - 1)
    s.polls(2_500 * MS, "4321 stall")
    s.exits(3 * S, app, "4321 exit", code=0)
