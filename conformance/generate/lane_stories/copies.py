"""Several copies of the library in one process: each has a page, and together they are one agent."""

from .book import MS, S, Process, Story, story

APP = 4321
# The errno of a fifth page.
ENOSPC = 28


def copies(count: int) -> list[Process]:
    return [Process(APP, copy) for copy in range(count)]


@story()
def two_copies_of_the_library(s: Story) -> None:
    """Nonces are counted per page; the process is silent only if all its pages are."""
    first, second = copies(2)
    s.joins(0, first)
    s.beats(1 * MS, first, count=3)
    s.rings(2 * MS, first, "4321 beat x3")
    s.joins(3 * MS, second)
    s.beats(4 * MS, second, count=2)
    s.rings(5 * MS, second, "4321 beat x2")
    s.polls(1_100 * MS)
    s.beats(1_500 * MS, second)
    s.polls(2_100 * MS, "4321 beat")
    s.polls(3_500 * MS - 1)
    s.polls(3_500 * MS, "4321 stall")
    s.beats(4_200 * MS, first)
    s.rings(4_200 * MS, first, "4321 recovered", "4321 beat")


@story()
def the_newest_sign_of_any_copy(s: Story) -> None:
    """A beat that is older than one of the other copy is counted, and changes nothing else."""
    first, second = copies(2)
    s.joins(0, first)
    s.joins(0, second)
    s.beats(100 * MS, first, status="critical")
    s.beats(500 * MS, second)
    s.rings(600 * MS, second, "4321 beat")
    s.rings(700 * MS, first, "4321 beat")
    s.polls(2_500 * MS - 1)
    s.polls(2_500 * MS, "4321 stall")
    s.exits(3 * S, first, "4321 exit", code=0)


@story()
def all_pages_are_read_before_a_verdict(s: Story) -> None:
    """A beat in either page, although none is due for a look, means that there is no Stall."""
    first, second = copies(2)
    for process in (first, second):
        s.joins(300 * MS, process)
        s.beats(300 * MS, process)
        s.rings(300 * MS, process, "4321 beat")
    s.polls(2_200 * MS)
    s.beats(2_250 * MS, first)
    s.polls(2_300 * MS, "4321 beat")
    s.polls(4_200 * MS)
    s.beats(4_240 * MS, second)
    s.polls(4_250 * MS, "4321 beat")
    s.polls(6_240 * MS - 1)
    s.polls(6_240 * MS, "4321 stall")


@story()
def tasks_of_two_copies(s: Story) -> None:
    """Both have a task 1 in pair 1 of their page; the observer's numbers are those of the agent."""
    first, second = copies(2)
    s.joins(0, first)
    s.joins(0, second)
    one = s.declares(0, first, "loop")
    s.rings(0, first, "loop task")
    other = s.declares(1 * MS, second, "worker")
    s.rings(1 * MS, second, "worker task")
    s.declares(2 * MS, first, "poll")
    s.rings(2 * MS, first, "poll task")
    s.calls(500 * MS, other, "beat")
    s.polls(1 * S, "worker beat", "loop stall beat")
    s.closes(1_001 * MS, one)
    s.rings(1_001 * MS, first, "loop closed")
    s.polls(1_002 * MS, "poll stall beat")
    s.polls(1_500 * MS, "worker stall beat")


@story()
def one_copy_gives_up_its_page(s: Story) -> None:
    """Its tasks end; those of the other copy, and the agent, go on. It is listed for them alone, too."""
    first, second = copies(2)
    s.joins(0, first)
    s.joins(0, second)
    s.declares(0, first, "loop")
    s.rings(0, first, "loop task")
    worker = s.declares(0, second, "worker", threshold=10 * S)
    s.rings(0, second, "worker task")
    s.detaches(500 * MS, first, "loop detached")
    s.calls(600 * MS, worker, "beat")
    s.rings(600 * MS, second, "worker beat")
    s.joins(700 * MS, first, "loop task")
    s.detaches(800 * MS, second, "worker detached")
    s.polls(1 * S, "loop stall beat")
    s.exits(2 * S, first, "4321 exit", signal=9)


@story()
def a_fifth_copy(s: Story) -> None:
    """It gets no page until another one has given up its own."""
    pages = copies(5)
    s.joins(0, pages[0])
    s.beats(1 * MS, pages[0])
    s.rings(1 * MS, pages[0], "4321 beat")
    for process in pages[1:4]:
        s.joins(2 * MS, process)
    s.is_refused(3 * MS, pages[4], errno=ENOSPC)
    s.detaches(4 * MS, pages[2])
    s.joins(5 * MS, pages[4])
    s.beats(6 * MS, pages[4])
    s.rings(6 * MS, pages[4], "4321 beat")


@story()
def an_exit_after_the_last_beats_of_a_copy(s: Story) -> None:
    """All pages are read once more, and all tasks end silently."""
    first, second = copies(2)
    for process in (first, second):
        s.joins(0, process)
        s.beats(0, process)
        s.declares(0, process, "loop")
        s.rings(0, process, "4321 beat", "loop task")
    s.beats(2 * MS, second, status="critical", count=2)
    s.exits(3 * MS, first, "4321 beat x2", "4321 exit", signal=9)
    s.polls(60 * S)
