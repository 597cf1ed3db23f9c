"""How tasks end, and what follows them."""

from .book import MS, S, Process, Story, story

APP = 4321
OTHER = 5678


@story()
def closed_and_failed(s: Story) -> None:
    """A closed task is over, and so is one that failed; neither is late any more."""
    app = Process(APP)
    s.joins(0, app)
    good = s.declares(0, app, "good")
    bad = s.declares(0, app, "bad")
    s.rings(0, app, "good task", "bad task")
    s.calls(100 * MS, good, "beat")
    s.closes(200 * MS, good)
    s.closes(200 * MS, bad, "failed")
    s.rings(300 * MS, app, "good beat", "good closed", "bad failed")
    s.polls(60 * S)


@story()
def a_late_task_that_closes(s: Story) -> None:
    """It stays late until its end."""
    app = Process(APP)
    s.joins(0, app)
    late = s.declares(0, app, "late")
    s.rings(0, app, "late task")
    s.polls(1 * S, "late stall beat")
    s.closes(2 * S, late)
    s.rings(2 * S, app, "late closed")


@story()
def a_pair_that_is_used_again(s: Story) -> None:
    """The end of the old task comes before the new one, which inherits nothing."""
    app = Process(APP)
    s.joins(0, app)
    first = s.declares(0, app, "first")
    s.rings(0, app, "first task")
    s.polls(1 * S, "first stall beat")
    s.calls(2 * S, first, "beat")
    s.closes(2 * S, first, "failed")
    second = s.declares(3 * S, app, "second")
    s.calls(3 * S, second, "beat")
    s.rings(3 * S, app, "first failed", "second task", "second beat x2")
    s.polls(4 * S, "second stall beat")


@story()
def all_pairs(s: Story) -> None:
    """31 tasks at once; when one is closed, another takes its place."""
    app = Process(APP)
    s.joins(0, app)
    tasks = [s.declares(0, app, f"worker {number}") for number in range(1, 32)]
    s.rings(0, app, *(f"worker {number} task" for number in range(1, 32)))
    s.closes(1 * MS, tasks[16])
    s.declares(1 * MS, app, "another")
    s.rings(1 * MS, app, "worker 17 closed", "another task")


@story()
def begun_and_ended_between_two_looks(s: Story) -> None:
    """A task that was never seen live is not reported."""
    app = Process(APP)
    s.joins(0, app)
    brief = s.declares(0, app, "brief")
    s.calls(1 * MS, brief, "beat")
    s.closes(2 * MS, brief)
    s.rings(3 * MS, app)


@story()
def a_thread_that_vanished(s: Story) -> None:
    """A broken promise of a thread that is gone is the end of its task, and not a Stall."""
    app = Process(APP)
    s.joins(0, app)
    lost = s.declares(0, app, "lost", thread=17)
    moved = s.declares(0, app, "moved", thread=17, roams=True)
    s.declares(0, app, "lives", thread=18)
    s.rings(0, app, "lost task", "moved task", "lives task")
    s.loses_thread(100 * MS, app, 17)
    s.polls(1 * S - 1)
    s.polls(1 * S, "lost thread-gone", "moved stall beat", "lives stall beat")
    s.polls(2 * S)
    s.calls(3 * S, moved, "beat")
    s.rings(3 * S, app, "moved recovered beat", "moved beat")
    s.closes(4 * S, lost)
    s.declares(4 * S, app, "next")
    s.rings(4 * S, app, "next task")


@story()
def listed_only_for_its_tasks(s: Story) -> None:
    """A process that never beat is forgotten with its last task; later it is a new agent."""
    app = Process(APP)
    s.joins(0, app)
    first = s.declares(0, app, "first")
    s.rings(0, app, "first task")
    s.closes(1 * MS, first)
    s.rings(1 * MS, app, "first closed")
    s.declares(2 * MS, app, "second")
    s.rings(2 * MS, app, "second task")
    s.beats(3 * MS, app)
    s.rings(3 * MS, app, "4321 beat")
    s.exits(4 * MS, app, "4321 exit", code=0)
    other = Process(OTHER)
    s.joins(5 * MS, other)
    brief = s.declares(5 * MS, other, "brief")
    s.rings(5 * MS, other, "brief task")
    s.closes(6 * MS, brief)
    s.rings(6 * MS, other, "brief closed")
    s.exits(7 * MS, other, code=1)


@story()
def an_exit_ends_tasks_silently(s: Story) -> None:
    """The last calls are read, and then there is only the Exit."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(0, app)
    task = s.declares(0, app, "ingest")
    s.rings(0, app, "4321 beat", "ingest task")
    s.calls(10 * MS, task, "beat")
    s.exits(20 * MS, app, "ingest beat", "4321 exit", code=3)
    s.polls(60 * S)


@story()
def a_connection_that_ends_with_tasks(s: Story) -> None:
    """Its tasks are detached. A new page declares them again, under new numbers."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(0, app)
    task = s.declares(0, app, "ingest")
    s.rings(0, app, "4321 beat", "ingest task")
    s.calls(10 * MS, task, "beat")
    s.detaches(20 * MS, app, "ingest beat", "ingest detached")
    s.polls(1_500 * MS)
    s.calls(1_600 * MS, task, "beat")
    s.beats(1_600 * MS, app, count=3)
    s.joins(1_700 * MS, app, "4321 beat x3", "ingest task", nonce=1)
    s.polls(2_600 * MS, "ingest stall beat")


@story()
def tasks_that_are_carried_over(s: Story) -> None:
    """A new observer learns of all live tasks, also of one that makes no call any more."""
    app = Process(APP)
    s.declares(0, app, "hangs")
    alive = s.declares(0, app, "lives")
    s.calls(10 * S, alive, "beat")
    s.joins(10 * S, app, "hangs task", "lives task")
    s.polls(10 * S, "hangs stall beat")
    s.polls(11 * S, "lives stall beat")
