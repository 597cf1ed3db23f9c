"""What happens wrongly: too early, too late, in the wrong order, too few, too many."""

from .book import MS, S, Edge, Process, Story, story

APP = 4321
STEPS = (
    Edge(0, 1),
    Edge(1, 2, min_ns=100 * MS, max_ns=300 * MS),
    Edge(2, 1, min_ns=50 * MS),
    Edge(2, 3, max_ns=1 * S),
)


@story()
def a_span_that_ends_too_early(s: Story) -> None:
    """A block that must take 100 ms took 99 ms and a bit; at 100 ms it is in time."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "press", threshold=10 * S)
    s.rings(0, app, "press task")
    s.calls(1 * S, task, "watch", span=1, max_ns=200 * MS, min_ns=100 * MS, label=7)
    s.calls(1_100 * MS - 1, task, "unwatch", span=1)
    s.rings(1_100 * MS, app, "press beat x2", "press too-early x1")
    s.calls(2 * S, task, "watch", span=2, max_ns=200 * MS, min_ns=100 * MS, label=8)
    s.calls(2_100 * MS, task, "unwatch", span=2)
    s.rings(2_100 * MS, app, "press beat x2")


@story()
def a_span_that_ends_just_in_time(s: Story) -> None:
    """One nanosecond before its longest time is in time; at that time it is too late."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "press", threshold=10 * S)
    s.rings(0, app, "press task")
    s.calls(0, task, "watch", span=1, max_ns=200 * MS)
    s.calls(200 * MS - 1, task, "unwatch", span=1)
    s.rings(200 * MS, app, "press beat x2")
    s.calls(1 * S, task, "watch", span=2, max_ns=200 * MS, label=3)
    s.calls(1_200 * MS, task, "unwatch", span=2)
    s.rings(1_200 * MS, app, "press beat x2", "press too-late x1")


@story()
def steps_in_order(s: Story) -> None:
    """Each step is held against its own edge: not before its shortest, not after its longest time."""
    app = Process(APP)
    s.joins(0, app)
    job = s.declares(0, app, "job", threshold=60 * S, edges=STEPS)
    s.rings(0, app, "job task")
    s.calls(1_000 * MS, job, "reach", checkpoint=1)
    s.calls(1_100 * MS, job, "reach", checkpoint=2)
    s.calls(1_150 * MS, job, "reach", checkpoint=1)
    s.rings(1_150 * MS, app, "job beat x3")
    s.calls(1_200 * MS, job, "reach", checkpoint=2)
    s.rings(1_200 * MS, app, "job beat", "job too-early x1")
    s.calls(2_200 * MS, job, "reach", checkpoint=3)
    s.rings(2_200 * MS, app, "job beat", "job too-late x1")
    s.calls(2_300 * MS, job, "reach", checkpoint=1)
    s.rings(2_300 * MS, app, "job beat", "job wrong-order x1")
    s.calls(2_500 * MS, job, "reach", checkpoint=2)
    s.rings(2_500 * MS, app, "job beat")


@story()
def checkpoints_without_edges(s: Story) -> None:
    """Without edges a checkpoint only says where the task is."""
    app = Process(APP)
    s.joins(0, app)
    job = s.declares(0, app, "job")
    s.rings(0, app, "job task")
    for at, checkpoint in enumerate((65_535, 1, 1, 500), 1):
        s.calls(at * MS, job, "reach", checkpoint=checkpoint)
    s.rings(5 * MS, app, "job beat x4")
    s.polls(1_004 * MS, "job stall beat")


@story()
def counts_add_up(s: Story) -> None:
    """Between two looks several rules are broken: the event counts all and names the last."""
    app = Process(APP)
    s.joins(0, app)
    job = s.declares(0, app, "job", threshold=60 * S, edges=STEPS)
    s.rings(0, app, "job task")
    s.calls(10 * MS, job, "reach", checkpoint=3)
    s.calls(20 * MS, job, "watch", span=1, max_ns=5 * MS)
    s.calls(30 * MS, job, "unwatch", span=1)
    s.calls(40 * MS, job, "reach", checkpoint=1)
    s.calls(50 * MS, job, "reach", checkpoint=2)
    s.rings(50 * MS, app, "job beat x5", "job too-early x4")
    s.rings(60 * MS, app)


@story()
def cycles_with_too_few_and_too_many(s: Story) -> None:
    """Two or three beats in each 100 ms; a window is judged by the first call after it."""
    app = Process(APP)
    s.joins(0, app)
    loop = s.declares(0, app, "loop", threshold=60 * S, cycle_ns=100 * MS, least=2, most=3)
    s.rings(0, app, "loop task")
    for at in (1_000, 1_050, 1_100, 1_140, 1_199):
        s.calls(at * MS, loop, "beat")
    s.rings(1_199 * MS, app, "loop beat x5")
    s.calls(1_200 * MS, loop, "beat")
    s.rings(1_250 * MS, app, "loop beat")
    s.calls(1_300 * MS, loop, "reach", checkpoint=1)
    s.rings(1_300 * MS, app, "loop beat", "loop too-few x1")
    for at in (1_310, 1_320, 1_330, 1_340, 1_350):
        s.calls(at * MS, loop, "beat")
    s.rings(1_399 * MS, app, "loop beat x5")
    s.calls(1_400 * MS, loop, "beat")
    s.rings(1_400 * MS, app, "loop beat", "loop too-many x1")


@story()
def skipped_cycles(s: Story) -> None:
    """All whole windows without a beat are one more too-few."""
    app = Process(APP)
    s.joins(0, app)
    loop = s.declares(0, app, "loop", threshold=60 * S, cycle_ns=100 * MS, least=1)
    s.rings(0, app, "loop task")
    s.calls(0, loop, "beat")
    s.calls(1_050 * MS, loop, "beat")
    s.rings(1_050 * MS, app, "loop beat x2", "loop too-few x1")
    s.calls(1_100 * MS, loop, "beat")
    s.rings(1_100 * MS, app, "loop beat")
    s.calls(1_200 * MS, loop, "reach", checkpoint=1)
    s.calls(1_300 * MS, loop, "reach", checkpoint=2)
    s.calls(1_550 * MS, loop, "reach", checkpoint=3)
    s.rings(1_550 * MS, app, "loop beat x3", "loop too-few x3")


@story()
def cycles_and_idling(s: Story) -> None:
    """An idle task has no windows; the first beat after it opens one."""
    app = Process(APP)
    s.joins(0, app)
    loop = s.declares(0, app, "loop", threshold=60 * S, cycle_ns=100 * MS, least=2)
    s.rings(0, app, "loop task")
    s.calls(0, loop, "beat")
    s.calls(50 * MS, loop, "idle")
    s.calls(10 * S, loop, "reach", checkpoint=1)
    s.calls(20 * S, loop, "beat")
    s.calls(20_099 * MS, loop, "beat")
    s.calls(20_100 * MS, loop, "beat")
    s.rings(20_100 * MS, app, "loop beat x6")
    s.calls(20_200 * MS, loop, "idle")
    s.rings(20_200 * MS, app, "loop beat", "loop too-few x1")


@story()
def violations_before_the_first_look(s: Story) -> None:
    """Calls and violations from before a page was there may have been reported elsewhere."""
    app = Process(APP)
    job = s.declares(0, app, "job", threshold=60 * S)
    s.calls(0, job, "watch", span=1, max_ns=2 * S, min_ns=1 * S)
    s.calls(1, job, "unwatch", span=1)
    s.joins(1 * S, app, "job task")
    s.calls(1 * S, job, "watch", span=2, max_ns=2 * S, min_ns=1 * S)
    s.calls(1 * S, job, "unwatch", span=2)
    s.rings(1 * S, app, "job beat x2", "job too-early x1")
