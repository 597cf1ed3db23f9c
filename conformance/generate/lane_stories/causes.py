"""Why a process is silent: one story for each cause. It is read at half of its threshold and at the Stall."""

from causes.reading import Reading, Thread

from .book import MS, S, Process, Story, story

APP = 4321
WORKER = 4322


def reading(thread: Thread, **process: object) -> Reading:
    return Reading((thread,), **process)


def hangs(s: Story, before: Reading, now: Reading, cause: str) -> None:
    """A process beats once, and this can be read of it at half of its threshold and afterwards."""
    app = Process(APP)
    s.sends(0, app, "4321 beat")
    s.reads(0, app, before)
    s.polls(1 * S)
    s.reads(1 * S, app, now)
    s.polls(2 * S - 1)
    s.polls(2 * S, f"4321 stall ({cause})")


@story(causes=True)
def stopped(s: Story) -> None:
    """All threads are stopped, and the first one tells by which signal."""
    threads = (Thread(APP, "T", stop_signal=19), Thread(WORKER, "T"))
    hangs(s, Reading(threads), Reading(threads), "stopped")


@story(causes=True)
def one_thread_that_is_stopped(s: Story) -> None:
    """While another one runs the process is not stopped; the first thread is the one that hangs."""
    threads = (Thread(APP, "T", stop_signal=20), Thread(WORKER, "S", call="epoll_pwait"))
    hangs(s, Reading(threads), Reading(threads), "stopped 4321")


@story(causes=True)
def traced(s: Story) -> None:
    """A debugger has stopped it. One that is only attached is no more than a flag."""
    hangs(s, reading(Thread(APP)), reading(Thread(APP, "t"), tracer=77), "traced")
    s.reads(4 * S, Process(APP), reading(Thread(APP, "S", call="nanosleep"), tracer=77))
    s.polls(4 * S, "4321 cause (idle 4321)")


@story(causes=True)
def frozen(s: Story) -> None:
    """Its group is frozen, which its threads do not show, and comes before what they wait in."""
    thread = Thread(APP, "S", call="futex", arguments=(64, 0x80, 2, 0))
    hangs(s, reading(thread), reading(thread, frozen=True, group="/app.slice"), "frozen")


@story(causes=True)
def frozen_by_what_it_waits_in(s: Story) -> None:
    """The files of its group cannot be read."""
    thread = Thread(APP, "S", wait_channel="get_signal")
    hangs(s, reading(thread, lacks=8), reading(thread, lacks=8), "frozen 4321")


@story(causes=True)
def dumping(s: Story) -> None:
    """It writes its core file, though one of its threads uses the CPU for that."""
    before = Reading((Thread(APP, "R", run_ns=0), Thread(WORKER, "I")))
    now = Reading((Thread(APP, "R", run_ns=900 * MS, flags=0x200), Thread(WORKER, "I")), dumping=True)
    hangs(s, before, now, "dumping")


@story(causes=True)
def dying(s: Story) -> None:
    """SIGKILL is pending for a process that the kernel does not let go."""
    thread = Thread(APP, "D", wait_channel="rpc_wait_bit_killable", call="read")
    hangs(s, reading(thread), reading(thread, killed=True), "dying")


@story(causes=True)
def dying_by_itself(s: Story) -> None:
    """All threads are ending."""
    threads = (Thread(APP, "Z", flags=4), Thread(WORKER, "D", flags=4))
    hangs(s, Reading(threads), Reading(threads), "dying")


@story(causes=True)
def throttled(s: Story) -> None:
    """It would like to run, and the quota of its group does not let it."""
    before = reading(Thread(APP, "R", run_ns=5 * MS, slices=10), quota_periods=100, quota_throttled=7)
    wanted = Thread(APP, "R", run_ns=55 * MS, wait_ns=900 * MS, slices=20)
    hangs(s, before, reading(wanted, quota_periods=110, quota_throttled=17), "throttled 4321")


@story(causes=True)
def throttled_all_along(s: Story) -> None:
    """Nothing moves within a period that is longer than the time between the two readings."""
    still = reading(Thread(APP, "R", run_ns=5 * MS, slices=10), quota_periods=9, quota_throttled=3)
    hangs(s, still, still, "throttled 4321")


@story(causes=True)
def starved(s: Story) -> None:
    """Other processes have the CPU. What it waits for that is counted when the wait ends."""
    before = reading(Thread(APP, "R", run_ns=5 * MS, slices=10))
    hangs(s, before, reading(Thread(APP, "R", run_ns=9 * MS, slices=10)), "starved 4321")


@story(causes=True)
def starved_and_scheduled_sometimes(s: Story) -> None:
    """It got a hundredth of the time that it wanted."""
    before = reading(Thread(APP, "R", run_ns=5 * MS, wait_ns=1 * S, slices=10))
    now = reading(Thread(APP, "R", run_ns=15 * MS, wait_ns=1_990 * MS, slices=14))
    hangs(s, before, now, "starved 4321")


@story(causes=True)
def busy(s: Story) -> None:
    """An endless loop, beside which another one has the other half of the CPU."""
    before = reading(Thread(APP, "R", run_ns=5 * MS, wait_ns=0, slices=10))
    hangs(s, before, reading(Thread(APP, "R", run_ns=505 * MS, wait_ns=495 * MS, slices=60)), "busy 4321")


@story(causes=True)
def busy_in_hiding(s: Story) -> None:
    """Only the CPU clock of the process can be read."""
    hangs(s, Reading(cpu_ns=5 * MS), Reading(cpu_ns=905 * MS), "busy")


@story(causes=True)
def io(s: Story) -> None:
    """The kernel waits for a file system on its behalf."""
    thread = Thread(APP, "D", wait_channel="folio_wait_bit_common", call="read")
    hangs(s, reading(thread), reading(thread), "io 4321")


@story(causes=True)
def io_of_a_server(s: Story) -> None:
    """A file system that another process serves shows as sleep."""
    thread = Thread(APP, "S", wait_channel="request_wait_answer", call="openat")
    hangs(s, reading(thread), reading(thread), "io 4321")


@story(causes=True)
def memory(s: Story) -> None:
    """It waits for its own pages again and again, and so do others."""
    before = reading(Thread(APP, "D", major_faults=4, call="outside"), memory_pressure_ns=1 * S)
    now = reading(Thread(APP, "D", major_faults=304, call="outside"), memory_pressure_ns=1_500 * MS)
    hangs(s, before, now, "memory 4321")


@story(causes=True)
def memory_of_a_group(s: Story) -> None:
    """Its group has reached its limit, and the kernel kills nobody."""
    thread = Thread(APP, "D", wait_channel="mem_cgroup_oom_synchronize", call="outside")
    hangs(s, reading(thread), reading(thread, under_oom=True, group="/app.slice"), "memory")


@story(causes=True)
def lock(s: Story) -> None:
    """A mutex that is contended: a futex with value 2 and without a time limit."""
    thread = Thread(APP, "S", wait_channel="futex_do_wait", call="futex", arguments=(0x7F00, 0x80, 2, 0))
    hangs(s, reading(thread), reading(thread), "lock 4321")


@story(causes=True)
def lock_with_priorities(s: Story) -> None:
    """A lock with priority inheritance is one for certain."""
    thread = Thread(APP, "S", wait_channel="futex_lock_pi", call="futex", arguments=(0x7F00, 0x86, 0, 0))
    hangs(s, reading(thread), reading(thread), "lock 4321")


@story(causes=True)
def lock_of_a_file(s: Story) -> None:
    """No futex, but a lock as well."""
    thread = Thread(APP, "S", wait_channel="locks_lock_inode_wait", call="flock")
    hangs(s, reading(thread), reading(thread), "lock 4321")


@story(causes=True)
def waiting(s: Story) -> None:
    """A condition cannot be told from a lock with a time limit."""
    thread = Thread(APP, "S", wait_channel="futex_do_wait", call="futex", arguments=(0x7F00, 0x189, 0, 0))
    hangs(s, reading(thread), reading(thread), "waiting 4321")


@story(causes=True)
def waiting_for_a_thread(s: Story) -> None:
    """The value of the futex is the thread for whose end it waits."""
    joins = Thread(APP, "S", wait_channel="futex_do_wait", call="futex", arguments=(0x7F00, 0x109, WORKER, 0))
    threads = (joins, Thread(WORKER, "S", wait_channel="ep_poll", call="epoll_pwait"))
    hangs(s, Reading(threads), Reading(threads), "waiting 4321")


@story(causes=True)
def child(s: Story) -> None:
    """It waits for a process that it has started."""
    thread = Thread(APP, "S", wait_channel="do_wait", call="wait4")
    hangs(s, reading(thread), reading(thread), "child 4321")


@story(causes=True)
def child_that_has_not_begun(s: Story) -> None:
    """Until the child executes its program, the parent cannot be interrupted."""
    thread = Thread(APP, "D", wait_channel="kernel_clone", call="clone3")
    hangs(s, reading(thread), reading(thread), "child 4321")


@story(causes=True)
def awake(s: Story) -> None:
    """It wakes up 50 times in a second, and sleeps most of the time."""
    before = reading(Thread(APP, "S", run_ns=5 * MS, slices=10, wait_channel="hrtimer_nanosleep", call="nanosleep"))
    now = reading(Thread(APP, "S", run_ns=10 * MS, slices=60, wait_channel="hrtimer_nanosleep", call="nanosleep"))
    hangs(s, before, now, "awake 4321")


@story(causes=True)
def idle(s: Story) -> None:
    """It waits for something from outside that does not come."""
    thread = Thread(APP, "S", wait_channel="__skb_wait_for_more_packets", call="recvfrom")
    hangs(s, reading(thread), reading(thread), "idle 4321")


@story(causes=True)
def idle_in_its_event_loop(s: Story) -> None:
    """A flag says that the loop is not blocked elsewhere."""
    thread = Thread(APP, "S", wait_channel="ep_poll", call="epoll_pwait")
    hangs(s, reading(thread), reading(thread), "idle 4321")


@story(causes=True)
def asleep(s: Story) -> None:
    """The observer has no permission to see on what."""
    hangs(s, reading(Thread(APP), lacks=3), reading(Thread(APP), lacks=3), "asleep 4321")


@story(causes=True)
def leader_exited(s: Story) -> None:
    """The first thread has ended, and others have not."""
    threads = (Thread(APP, "Z"), Thread(WORKER, "S", call="nanosleep"))
    hangs(s, Reading(threads), Reading(threads), "leader-exited 4321")


@story(causes=True)
def unknown(s: Story) -> None:
    """Nothing can be read, as of a process in another pid namespace."""
    app = Process(APP)
    s.sends(0, app, "4321 beat")
    s.polls(1 * S)
    s.polls(2 * S, "4321 stall (unknown)")


@story(causes=True)
def the_worst_of_several_threads(s: Story) -> None:
    """If it is not known which one beats, a lock explains more than sleep, whichever thread it is."""
    threads = (
        Thread(APP, "S", wait_channel="ep_poll", call="epoll_pwait"),
        Thread(WORKER, "S", wait_channel="hrtimer_nanosleep", call="nanosleep"),
        Thread(WORKER + 1, "S", wait_channel="futex_do_wait", call="futex", arguments=(64, 0x80, 2, 0)),
    )
    hangs(s, Reading(threads), Reading(threads), "lock 4323")
