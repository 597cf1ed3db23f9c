"""Slack: how late a task may be before it is reported, as the operator has set it."""

from .book import MS, S, Process, Story, story

APP = 4321
OTHER = 5678
# The kernel keeps 15 bytes of it.
LONG = "a-program-with-a-long-name"


@story(task_slack={"slow": 300 * MS})
def slack_for_a_name(s: Story) -> None:
    """The operator gives tasks of one name more time; what was due when stays the same."""
    app = Process(APP)
    s.joins(0, app)
    slow = s.declares(0, app, "slow")
    s.declares(0, app, "other")
    s.calls(0, slow, "watch", span=1, max_ns=500 * MS)
    s.rings(0, app, "slow task", "slow beat", "other task")
    s.polls(800 * MS - 1)
    s.polls(800 * MS, "slow stall span")
    s.polls(1 * S, "other stall beat")
    s.polls(1_300 * MS - 1)
    s.polls(1_300 * MS, "slow stall beat")


@story(program_slack={LONG: 300 * MS, "other": 5 * S}, task_slack={"exact": 0, "slow": 600 * MS})
def slack_for_a_program(s: Story) -> None:
    """All its tasks have it, but the entry of a task's own name counts more, even if it is less. The process has none."""
    app, stranger = Process(APP), Process(OTHER)
    s.runs(0, app, LONG)
    s.joins(0, app)
    s.joins(0, stranger)
    s.beats(0, app)
    for name in ("any", "exact", "slow"):
        s.declares(0, app, name)
    s.rings(0, app, "a-program-with- beat", "any task", "exact task", "slow task")
    s.declares(0, stranger, "any")
    s.rings(0, stranger, "any task")
    s.polls(1 * S - 1)
    s.polls(1 * S, "exact stall beat", "any stall beat")
    s.polls(1_300 * MS - 1)
    s.polls(1_300 * MS, "any stall beat")
    s.polls(1_600 * MS - 1)
    s.polls(1_600 * MS, "slow stall beat")
    s.polls(2 * S, "a-program-with- stall")


@story(task_slack={"slow": 300 * MS})
def kept_within_the_slack(s: Story) -> None:
    """No Stall and no recovery; that the block took too long is a violation all the same."""
    app = Process(APP)
    s.joins(0, app)
    slow = s.declares(0, app, "slow")
    s.calls(0, slow, "watch", span=1, max_ns=500 * MS)
    s.rings(0, app, "slow task", "slow beat")
    s.polls(790 * MS)
    s.calls(799 * MS, slow, "unwatch", span=1)
    s.polls(800 * MS, "slow beat", "slow too-late x1")
    s.calls(2_050 * MS, slow, "beat")
    s.rings(2_050 * MS, app, "slow beat")


@story(task_slack={"slow": 300 * MS})
def found_broken_within_the_slack(s: Story) -> None:
    """A call that finds its block overdue does not shorten the slack of the block."""
    app = Process(APP)
    s.joins(0, app)
    slow = s.declares(0, app, "slow")
    s.calls(0, slow, "watch", span=1, max_ns=500 * MS)
    s.rings(0, app, "slow task", "slow beat")
    s.calls(600 * MS, slow, "beat")
    s.rings(600 * MS, app, "slow beat")
    s.polls(800 * MS - 1)
    s.polls(800 * MS, "slow stall span")
    s.calls(900 * MS, slow, "unwatch", span=1)
    s.rings(900 * MS, app, "slow recovered span", "slow beat", "slow too-late x1")


@story(task_slack={"slow": 300 * MS})
def slack_after_a_pause(s: Story) -> None:
    """What a pause gives back comes on top."""
    app = Process(APP)
    s.joins(0, app)
    s.declares(0, app, "slow")
    s.rings(0, app, "slow task")
    s.comes_late(12 * S, 500 * MS, "observer paused")
    s.polls(12_800 * MS - 1)
    s.polls(12_800 * MS, "slow stall beat")
