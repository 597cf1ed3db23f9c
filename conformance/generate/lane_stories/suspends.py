"""Suspends: the clock in which lines are written stands still, and the observer's does not."""

from .book import MS, S, Process, Story, story

APP = 4321
OTHER = 5678


@story()
def a_suspend(s: Story) -> None:
    """A minute of it brings nothing in a page closer to being due, and is not given back as well."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(500 * MS, app)
    s.rings(500 * MS, app, "4321 beat")
    s.was_suspended(61 * S, 60 * S)
    s.polls(62_500 * MS - 1)
    s.polls(62_500 * MS, "4321 stall")
    s.beats(63 * S, app)
    s.rings(63 * S, app, "4321 recovered", "4321 beat")
    s.polls(65 * S - 1)
    s.polls(65 * S, "4321 stall")


@story()
def read_after_a_suspend(s: Story) -> None:
    """A beat that was written before it counts as it would have without it."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(500 * MS, app, count=5)
    s.was_suspended(60_900 * MS, 60 * S)
    s.rings(60_900 * MS, app, "4321 beat x5")
    s.polls(62_500 * MS - 1)
    s.polls(62_500 * MS, "4321 stall")


@story()
def a_suspend_and_tasks(s: Story) -> None:
    """Every promise keeps the time that it had left, and so does one that was made before another suspend."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "fetch")
    s.calls(0, task, "watch", span=1, max_ns=600 * MS)
    s.rings(0, app, "fetch task", "fetch beat")
    s.was_suspended(10_200 * MS, 10 * S)
    s.polls(10_600 * MS - 1)
    s.polls(10_600 * MS, "fetch stall span")
    s.was_suspended(20_700 * MS, 10 * S)
    s.polls(21 * S - 1)
    s.polls(21 * S, "fetch stall beat")
    s.calls(22 * S, task, "unwatch", span=1)
    s.rings(22 * S, app, "fetch recovered beat", "fetch recovered span", "fetch beat", "fetch too-late x1")
    s.polls(23 * S, "fetch stall beat")


@story()
def idle_over_a_suspend(s: Story) -> None:
    """The limit of idling is on the clock that stood still."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "timer")
    s.calls(0, task, "idle", at_most=700 * MS)
    s.rings(0, app, "timer task", "timer beat")
    s.was_suspended(5_100 * MS, 5 * S)
    s.polls(5_700 * MS - 1)
    s.polls(5_700 * MS, "timer stall beat")


@story()
def two_suspends_in_one_silence(s: Story) -> None:
    """Datagrams are given back one of them; to a page, both are no time at all."""
    app, other = Process(APP), Process(OTHER)
    s.joins(0, app)
    s.beats(0, app)
    s.rings(0, app, "4321 beat")
    s.sends(0, other, "5678 beat")
    s.was_suspended(10_500 * MS, 10 * S)
    s.was_suspended(20_700 * MS, 10 * S)
    s.polls(20_700 * MS, "5678 stall")
    s.polls(22 * S - 1)
    s.polls(22 * S, "4321 stall")


@story()
def a_datagram_before_a_suspend(s: Story) -> None:
    """The last sign of a process that has a page is judged as one in the page."""
    app = Process(APP)
    s.sends(0, app, "4321 beat")
    s.joins(100 * MS, app, nonce=1)
    s.sends(200 * MS, app, "4321 beat")
    s.was_suspended(9_400 * MS, 9 * S)
    s.was_suspended(19_400 * MS, 9 * S)
    s.polls(20_200 * MS - 1)
    s.polls(20_200 * MS, "4321 stall")


@story()
def a_suspend_and_two_copies(s: Story) -> None:
    """The last sign of a process with two pages is moved once."""
    first, second = Process(APP), Process(APP, 1)
    for process in (first, second):
        s.joins(0, process)
        s.beats(0, process)
        s.rings(0, process, "4321 beat")
    s.was_suspended(9_400 * MS, 9 * S)
    s.polls(11 * S - 1)
    s.polls(11 * S, "4321 stall")


@story()
def a_late_observer_and_a_suspend(s: Story) -> None:
    """The time in which the observer was late is given back as ever, before and after."""
    app, other = Process(APP), Process(OTHER)
    for process in (app, other):
        s.joins(0, process)
        s.beats(0, process)
        s.rings(0, process, f"{process.pid} beat")
    s.comes_late(3_500 * MS, 500 * MS, "observer paused")
    s.was_suspended(33_600 * MS, 30 * S)
    s.beats(34 * S, other)
    s.rings(34 * S, other, "5678 beat")
    s.polls(35 * S - 1)
    s.polls(35 * S, "4321 stall")
    s.comes_late(40 * S, 35 * S, "observer paused")
    s.polls(41 * S - 1)
    s.polls(41 * S, "5678 stall")


@story()
def a_page_after_a_suspend(s: Story) -> None:
    """The clocks are apart from the beginning."""
    app = Process(APP)
    s.was_suspended(60 * S, 50 * S)
    s.joins(61 * S, app)
    task = s.declares(61 * S, app, "loop")
    s.beats(61 * S, app)
    s.rings(61 * S, app, "4321 beat", "loop task")
    s.calls(61_500 * MS, task, "beat")
    s.polls(62_500 * MS - 1, "loop beat")
    s.polls(62_500 * MS, "loop stall beat")
    s.polls(63 * S, "4321 stall")
