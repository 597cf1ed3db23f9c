"""The four promises of a task: beat, span, checkpoint and progress."""

from .book import MS, NEVER, S, Edge, Hot, Info, Process, Story, story

APP = 4321


@story()
def a_task_that_falls_silent(s: Story) -> None:
    """Its declaration is its first sign of life; each call is another."""
    app = Process(APP)
    s.joins(0, app)
    ingest = s.declares(100 * MS, app, "ingest")
    s.rings(100 * MS, app, "ingest task")
    s.calls(200 * MS, ingest, "beat", status="degraded", payload=9)
    s.calls(300 * MS, ingest, "reach", checkpoint=4)
    s.polls(500 * MS, "ingest beat x2")
    s.polls(1_300 * MS - 1)
    s.polls(1_300 * MS, "ingest stall beat")
    s.polls(30 * S)
    s.calls(31 * S, ingest, "beat")
    s.rings(31 * S + 7, app, "ingest recovered beat", "ingest beat")


@story()
def a_process_that_never_beats_itself(s: Story) -> None:
    """It is listed for its tasks, and its own silence is nothing."""
    app = Process(APP)
    ingest = s.declares(0, app, "ingest", threshold=NEVER)
    s.joins(0, app, "ingest task")
    s.polls(60 * S)
    s.calls(60 * S, ingest, "beat")
    s.polls(61 * S, "ingest beat")
    s.exits(62 * S, app, "4321 exit", code=0)


@story()
def nothing_is_due(s: Story) -> None:
    """A task without a threshold and without an open span is never late."""
    app = Process(APP)
    s.joins(0, app)
    job = s.declares(0, app, "job", threshold=NEVER, finest_ns=100 * MS)
    s.rings(0, app, "job task")
    s.polls(1_000 * S)
    s.calls(1_000 * S, job, "watch", span=1, max_ns=1 * S)
    s.polls(1_000 * S + 50 * MS, "job beat")
    s.polls(1_001 * S - 1)
    s.polls(1_001 * S, "job stall span")
    s.polls(2_000 * S)


@story()
def two_tasks_of_one_name(s: Story) -> None:
    """Names need not be unique; numbers are."""
    app = Process(APP)
    s.joins(0, app)
    first = s.declares(0, app, "worker")
    second = s.declares(0, app, "worker")
    s.rings(0, app, "worker task", "worker task")
    s.calls(900 * MS, second, "beat")
    s.polls(1 * S, "worker beat", "worker stall beat")
    s.calls(1_100 * MS, first, "beat")
    s.rings(1_100 * MS, app, "worker recovered beat", "worker beat")


@story()
def startup_grace(s: Story) -> None:
    """Until the first call after declaring, the task has the time to start instead of its threshold."""
    app = Process(APP)
    s.joins(0, app)
    slow = s.declares(0, app, "slow", startup_ns=30 * S)
    quick = s.declares(0, app, "quick", startup_ns=30 * S)
    s.rings(0, app, "slow task", "quick task")
    s.calls(1 * S, quick, "watch", span=1, max_ns=20 * S)
    s.polls(1 * S, "quick beat")
    s.polls(2 * S, "quick stall beat")
    s.polls(30 * S - 1)
    s.polls(30 * S, "slow stall beat")
    s.calls(31 * S, slow, "beat")
    s.rings(31 * S, app, "slow recovered beat", "slow beat")
    s.polls(32 * S, "slow stall beat")


@story()
def idle_without_end(s: Story) -> None:
    """Nothing is due while a task is idle. The next call of any kind ends it."""
    app = Process(APP)
    s.joins(0, app)
    queue = s.declares(0, app, "queue")
    s.calls(100 * MS, queue, "idle")
    s.rings(100 * MS, app, "queue task", "queue beat")
    s.polls(1_000 * S)
    s.calls(1_000 * S, queue, "reach", checkpoint=1)
    s.rings(1_000 * S, app, "queue beat")
    s.polls(1_001 * S - 1)
    s.polls(1_001 * S, "queue stall beat")


@story()
def idle_for_a_while(s: Story) -> None:
    """Idle for at most 5 s: then the task is due, and not before."""
    app = Process(APP)
    s.joins(0, app)
    queue = s.declares(0, app, "queue")
    s.calls(0, queue, "idle", at_most=5 * S)
    s.rings(0, app, "queue task", "queue beat")
    s.polls(5 * S - 1)
    s.polls(5 * S, "queue stall beat")
    s.calls(6 * S, queue, "idle", at_most=5 * S)
    s.rings(6 * S, app, "queue recovered beat", "queue beat")
    s.calls(10 * S, queue, "idle", at_most=5 * S)
    s.polls(11 * S, "queue beat")
    s.polls(15 * S, "queue stall beat")


@story()
def idle_within_a_span(s: Story) -> None:
    """Idling for ten thresholds stops the clock of an open span, which goes on afterwards."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "batch")
    s.calls(0, task, "watch", span=1, max_ns=800 * MS)
    s.calls(300 * MS, task, "idle")
    s.rings(300 * MS, app, "batch task", "batch beat x2")
    s.polls(10_300 * MS)
    s.calls(10_300 * MS, task, "beat")
    s.rings(10_300 * MS, app, "batch beat")
    s.polls(10_800 * MS - 1)
    s.polls(10_800 * MS, "batch stall span")
    s.calls(10_900 * MS, task, "unwatch", span=1)
    s.rings(10_900 * MS, app, "batch recovered span", "batch beat", "batch too-late x1")


@story()
def the_earliest_span_counts(s: Story) -> None:
    """A span never loosens another, whatever the order of closing."""
    app = Process(APP)
    s.joins(0, app)
    loop = s.declares(0, app, "loop", threshold=60 * S)
    s.rings(0, app, "loop task")
    s.calls(0, loop, "watch", span=1, max_ns=10 * S, label=1)
    s.calls(1 * S, loop, "watch", span=2, max_ns=2 * S, label=2)
    s.calls(1 * S, loop, "watch", span=3, max_ns=30 * S, label=3)
    s.rings(1 * S, app, "loop beat x3")
    s.polls(3 * S - 1)
    s.polls(3 * S, "loop stall span")
    s.calls(4 * S, loop, "unwatch", span=2)
    s.rings(4 * S, app, "loop recovered span", "loop beat", "loop too-late x1")
    s.calls(5 * S, loop, "unwatch", span=3)
    s.rings(5 * S, app, "loop beat")
    s.polls(10 * S - 1)
    s.polls(10 * S, "loop stall span")
    s.calls(11 * S, loop, "unwatch", span=1)
    s.rings(11 * S, app, "loop recovered span", "loop beat", "loop too-late x1")
    s.polls(71 * S, "loop stall beat")


@story()
def a_span_and_then_the_threshold(s: Story) -> None:
    """A silent task with an overdue span breaks two promises, one after the other."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "fetch")
    s.calls(100 * MS, task, "watch", span=1, max_ns=200 * MS)
    s.rings(100 * MS, app, "fetch task", "fetch beat")
    s.polls(300 * MS - 1)
    s.polls(300 * MS, "fetch stall span")
    s.polls(1_100 * MS - 1)
    s.polls(1_100 * MS, "fetch stall beat")
    s.calls(2 * S, task, "unwatch", span=1)
    s.rings(
        2 * S,
        app,
        "fetch recovered beat",
        "fetch recovered span",
        "fetch beat",
        "fetch too-late x1",
    )


@story()
def a_span_and_the_threshold_at_once(s: Story) -> None:
    """Both are due in the same instant: both are reported."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "fetch")
    s.calls(100 * MS, task, "watch", span=1, max_ns=1 * S)
    s.rings(100 * MS, app, "fetch task", "fetch beat")
    s.polls(1_100 * MS, "fetch stall beat", "fetch stall span")


@story()
def a_span_that_stays_open(s: Story) -> None:
    """Beats go on, and the span that should have ended is found by the next look."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "fetch")
    s.calls(10 * MS, task, "watch", span=1, max_ns=20 * MS)
    s.calls(400 * MS, task, "beat")
    s.polls(1 * S, "fetch task", "fetch beat x2", "fetch stall span")
    s.calls(1_200 * MS, task, "beat")
    s.rings(1_200 * MS, app, "fetch beat")
    s.calls(1_300 * MS, task, "unwatch", span=1)
    s.rings(1_300 * MS, app, "fetch recovered span", "fetch beat", "fetch too-late x1")


@story()
def an_overrun_between_two_looks(s: Story) -> None:
    """A span of 1 ms in a task of 2 s that took too long while nobody looked is reported."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "control", threshold=2 * S)
    s.rings(0, app, "control task")
    s.calls(100 * MS, task, "watch", span=1, max_ns=1 * MS)
    s.calls(103 * MS, task, "unwatch", span=1)
    s.polls(1 * S, "control beat x2", "control too-late x1")


@story()
def a_task_looked_at_more_often(s: Story) -> None:
    """The shortest `finest` of a page sets how often it is read, but not below 10 ms."""
    app = Process(APP)
    s.joins(0, app)
    coarse = s.declares(1 * MS, app, "coarse", threshold=2 * S)
    fine = s.declares(1 * MS, app, "fine", threshold=2 * S, finest_ns=100 * MS)
    s.rings(1 * MS, app, "coarse task", "fine task")
    s.calls(10 * MS, coarse, "beat")
    s.polls(50 * MS - 1)
    s.polls(50 * MS, "coarse beat")
    s.closes(60 * MS, fine)
    s.rings(60 * MS, app, "fine closed")
    s.calls(70 * MS, coarse, "beat")
    s.polls(1 * S - 1)
    s.polls(1 * S, "coarse beat")
    s.declares(1_001 * MS, app, "finest", threshold=2 * S, finest_ns=1 * MS)
    s.rings(1_001 * MS, app, "finest task")
    s.calls(1_002 * MS, coarse, "beat")
    s.polls(1_010 * MS - 1)
    s.polls(1_010 * MS, "coarse beat")


@story()
def checkpoints_in_time(s: Story) -> None:
    """Beats do not replace a step: each checkpoint has its own due."""
    app = Process(APP)
    edges = (Edge(0, 1), Edge(1, 2, max_ns=500 * MS), Edge(1, 3, max_ns=2 * S), Edge(2, 1), Edge(3, 1))
    s.joins(0, app)
    job = s.declares(0, app, "job", threshold=5 * S, edges=edges)
    s.rings(0, app, "job task")
    s.calls(1 * S, job, "reach", checkpoint=1)
    s.rings(1 * S, app, "job beat")
    s.calls(2 * S, job, "beat")
    s.rings(2 * S, app, "job beat")
    s.polls(3 * S - 1)
    s.polls(3 * S, "job stall checkpoint")
    s.calls(4 * S, job, "beat")
    s.rings(4 * S, app, "job beat")
    s.calls(5 * S, job, "reach", checkpoint=3)
    s.rings(5 * S, app, "job recovered checkpoint", "job beat", "job too-late x1")
    s.polls(10 * S, "job stall beat")


@story()
def alive_but_not_working(s: Story) -> None:
    """Progress that stops while beats go on is a Stall of progress, and of nothing else."""
    app = Process(APP)
    s.joins(0, app)
    pump = s.declares(0, app, "pump", progress_ns=3 * S)
    s.rings(0, app, "pump task")
    s.calls(400 * MS, pump, "progress", done=0, left=0)
    s.polls(500 * MS, "pump beat")
    for at in range(1, 5):
        s.calls(at * S, pump, "progress", done=0, left=10)
        stall = ["pump stall progress"] if at == 4 else []
        s.polls(at * S, "pump beat", *stall)
    s.calls(4_500 * MS, pump, "beat")
    s.rings(4_500 * MS, app, "pump beat")
    s.calls(5 * S, pump, "progress", done=1, left=9)
    s.rings(5 * S, app, "pump recovered progress", "pump beat")


@story()
def progress_with_nothing_left(s: Story) -> None:
    """The clock runs only while something is left, and starts when it arrives."""
    app = Process(APP)
    s.joins(0, app)
    pump = s.declares(0, app, "pump", threshold=60 * S, progress_ns=1 * S)
    s.calls(0, pump, "progress", done=5, left=0)
    s.rings(0, app, "pump task", "pump beat")
    s.polls(10 * S)
    s.calls(10 * S, pump, "progress", done=5, left=1)
    s.rings(10 * S, app, "pump beat")
    s.calls(10_900 * MS, pump, "progress", done=6, left=1)
    s.rings(10_900 * MS, app, "pump beat")
    s.polls(11_900 * MS - 1)
    s.polls(11_900 * MS, "pump stall progress")
    s.calls(12 * S, pump, "progress", done=6, left=0)
    s.rings(12 * S, app, "pump recovered progress", "pump beat")
    s.polls(60 * S)


@story()
def the_process_and_its_task(s: Story) -> None:
    """Each is judged for itself: the loop lives, and its worker hangs."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(0, app)
    worker = s.declares(0, app, "worker")
    s.rings(0, app, "4321 beat", "worker task")
    for at in range(1, 4):
        s.beats(at * S, app)
        late = ["worker stall beat"] if at == 1 else []
        s.polls(at * S, "4321 beat", *late)
    s.calls(4 * S, worker, "beat")
    s.polls(4 * S, "worker recovered beat", "worker beat")
    s.polls(5 * S, "4321 stall", "worker stall beat")


@story()
def a_paused_observer_and_tasks(s: Story) -> None:
    """Every promise is given back the time in which the observer was away."""
    app = Process(APP)
    s.joins(0, app)
    task = s.declares(0, app, "fetch")
    s.calls(0, task, "watch", span=1, max_ns=600 * MS)
    s.rings(0, app, "fetch task", "fetch beat")
    s.comes_late(12 * S, 500 * MS, "observer paused")
    s.polls(12_100 * MS - 1)
    s.polls(12_100 * MS, "fetch stall span")
    s.polls(12_500 * MS - 1)
    s.polls(12_500 * MS, "fetch stall beat")


@story()
def lines_that_a_task_cannot_mean(s: Story) -> None:
    """A due that is too far away, an unknown status or promise, and time that goes back are no news."""
    app = Process(APP)
    good = Info(which="beat").word()
    s.joins(0, app)
    s.declares(0, app, "ingest")
    s.rings(0, app, "ingest task")
    for hot in (
        Hot(100 * MS, 100 * MS + 30 * 24 * 3600 * S + 1, good, 0),
        Hot(0, 5 * S, good, 0),
        Hot(100 * MS, 5 * S, 3, 0),
        Hot(100 * MS, 5 * S, 6 << 8, 0),
    ):
        s.writes(200 * MS, app, 1, hot)
        s.rings(200 * MS, app)
    s.polls(1 * S, "ingest stall beat")


@story(capacity=6)
def no_room_for_a_task(s: Story) -> None:
    """Tasks hold at most half of the places. One that finds none is taken at a later look."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(0, app)
    first = s.declares(0, app, "first")
    for name in ("second", "third", "fourth"):
        s.declares(0, app, name)
    s.rings(0, app, "4321 beat", "first task", "second task", "third task")
    s.rings(1 * MS, app)
    s.closes(2 * MS, first)
    s.rings(2 * MS, app, "first closed", "fourth task")


@story()
def more_spans_than_watched(s: Story) -> None:
    """A span for which there is no room is only a sign of life, when it opens and when it closes."""
    app = Process(APP)
    s.joins(0, app)
    loop = s.declares(0, app, "loop", spans=2)
    s.rings(0, app, "loop task")
    for span in (1, 2, 3):
        s.calls(span * MS, loop, "watch", span=span, max_ns=(5 - span) * 100 * MS)
    s.rings(3 * MS, app, "loop beat x3")
    s.polls(302 * MS - 1)
    s.polls(302 * MS, "loop stall span")
    s.calls(900 * MS, loop, "unwatch", span=3)
    s.calls(901 * MS, loop, "unwatch", span=2)
    s.rings(901 * MS, app, "loop beat x2", "loop too-late x1")
