"""When it is found out why a process or a task is silent, what is learned before, and what is reported afterwards."""

from dataclasses import replace

from causes.reading import Reading, Thread

from .book import MS, S, Process, Story, story

APP = 4321
OTHER = 5678
WORKER = 4322

LOCKED = Thread(APP, "S", wait_channel="futex_do_wait", call="futex", arguments=(0x7F00, 0x80, 2, 0))
IDLE = Thread(APP, "S", wait_channel="ep_poll", call="epoll_pwait")
STOPPED = Thread(APP, "T", stop_signal=19)


def silent(s: Story, process: Process, thread: Thread, **read: object) -> None:
    s.sends(0, process, f"{process.pid} beat")
    s.reads(0, process, Reading((replace(thread, thread=process.pid),), **read))


def beats_while_learned(s: Story, process: Process, threads: int = 1, beats: int = 8, fresh: bool = True) -> int:
    """Eight beats, between each two of which all threads run. Returns when the last one was."""
    for beat in range(beats):
        ran = [
            Thread(process.pid + number, run_ns=(1 + beat) * 200_000, slices=1 + beat) for number in range(threads)
        ]
        s.reads(beat * 100 * MS, process, Reading(tuple(ran)))
        s.sends(beat * 100 * MS, process, f"{process.pid} beat", fresh=fresh)
    return (beats - 1) * 100 * MS


@story(causes=False)
def nobody_asks_for_a_cause(s: Story) -> None:
    """Causes are not looked up: nothing is read, and a Stall has none."""
    app = Process(APP)
    silent(s, app, LOCKED, spent_ns=1 * MS)
    s.polls(1 * S)
    s.polls(2 * S, "4321 stall")
    s.polls(60 * S)


@story(causes=True)
def a_process_that_beats_is_read_for_its_program(s: Story) -> None:
    """At its first beats, and then ever less often. It is not read for its silence, which is too short."""
    app = Process(APP)
    silent(s, app, LOCKED, spent_ns=1 * MS)
    for half_seconds in range(1, 10):
        s.sends(half_seconds * 500 * MS, app, "4321 beat")
        s.polls(half_seconds * 500 * MS + 499 * MS)


@story(causes=True)
def a_second_look_at_2_3_4_and_8_thresholds(s: Story) -> None:
    """Then every 8. Only a changed cause is an event."""
    app = Process(APP)
    silent(s, app, LOCKED, spent_ns=1 * MS)
    s.polls(1 * S)
    s.polls(2 * S, "4321 stall (lock 4321)")
    for thresholds in range(2, 18):
        s.polls(thresholds * 2 * S)
    s.reads(35 * S, app, Reading((IDLE,), spent_ns=1 * MS))
    s.polls(48 * S - 1)
    s.polls(48 * S, "4321 cause (idle 4321)")


@story(causes=True)
def held_from_outside_and_let_go(s: Story) -> None:
    """It is looked at every threshold; when it is let go and does not beat, the silence is its own."""
    app = Process(APP)
    silent(s, app, STOPPED)
    s.polls(1 * S)
    s.polls(2 * S, "4321 stall (stopped)")
    for thresholds in range(2, 7):
        s.polls(thresholds * 2 * S)
    s.reads(13 * S, app, Reading((LOCKED,)))
    s.polls(14 * S - 1)
    s.polls(14 * S, "4321 cause (lock 4321)")
    s.reads(15 * S, app, Reading((STOPPED,)))
    s.polls(16 * S - 1)
    s.polls(16 * S, "4321 cause (stopped)")
    s.sends(17 * S, app, "4321 recovered", "4321 beat")


@story(causes=True)
def a_whole_threshold_after_it_was_let_go(s: Story) -> None:
    """The beat with which it comes back begins a new silence, with a cause of its own."""
    app = Process(APP)
    silent(s, app, STOPPED)
    s.polls(1 * S)
    s.polls(2 * S, "4321 stall (stopped)")
    s.reads(9 * S, app, Reading((LOCKED,)))
    s.sends(9 * S, app, "4321 recovered", "4321 beat")
    s.polls(10 * S)
    s.polls(11 * S - 1)
    s.polls(11 * S, "4321 stall (lock 4321)")


@story(causes=True)
def stopped_after_the_first_look(s: Story) -> None:
    """What it is in at the Stall counts, whatever it did before."""
    app = Process(APP)
    silent(s, app, Thread(APP, "R", run_ns=1 * MS))
    s.polls(1 * S)
    s.reads(1_900 * MS, app, Reading((replace(STOPPED, run_ns=900 * MS, slices=5),)))
    s.polls(2 * S, "4321 stall (stopped)")


@story(causes=True)
def an_observer_that_is_not_polled(s: Story) -> None:
    """There is no earlier reading to compare with, so another one is made half a threshold later."""
    app = Process(APP)
    silent(s, app, Thread(APP, "R", run_ns=1 * MS))
    s.polls(2 * S, "4321 stall (unknown 4321)")
    s.reads(2 * S, app, Reading((Thread(APP, "R", run_ns=900 * MS, slices=3),)))
    s.polls(3 * S - 1)
    s.polls(3 * S, "4321 cause (busy 4321)")


@story(causes=True)
def no_time_for_more_readings(s: Story) -> None:
    """In 10 ms processes are read for 2 ms. The others are unknown, and their causes follow."""
    first, second, third = (Process(pid) for pid in (APP, OTHER, OTHER + 1))
    for process in (first, second, third):
        silent(s, process, LOCKED, spent_ns=2 * MS)
    for put_off in range(3):
        s.polls(1 * S + put_off * 10 * MS)
    s.polls(2 * S, "4321 stall (lock 4321)", "5678 stall (unknown)", "5679 stall (unknown)")
    s.polls(2 * S + 10 * MS - 1)
    s.polls(2 * S + 10 * MS, "5678 cause (lock 5678)")
    s.polls(2 * S + 20 * MS, "5679 cause (lock 5679)")
    s.polls(3 * S)


@story(causes=True)
def the_last_reading_may_take_long(s: Story) -> None:
    """It is begun while there is time."""
    app, other = Process(APP), Process(OTHER)
    silent(s, app, LOCKED, spent_ns=2 * MS - 1)
    silent(s, other, LOCKED, spent_ns=50 * MS)
    s.polls(1 * S)
    s.polls(2 * S, "4321 stall (lock 4321)", "5678 stall (lock 5678)")


@story(causes=True)
def a_suspend_in_a_silence(s: Story) -> None:
    """The time in which the system was suspended is given back; in the silence after it, that is the cause."""
    app = Process(APP)
    silent(s, app, IDLE)
    s.polls(1 * S)
    s.was_suspended(61 * S, 60 * S)
    s.polls(62 * S - 1)
    s.polls(62 * S, "4321 stall (suspended)")
    s.polls(64 * S, "4321 cause (idle 4321)")


@story(causes=True)
def another_program(s: Story) -> None:
    """What it executed when it beat is learned from a fresh beat. Another program is judged once it has beaten."""
    app = Process(APP)
    s.reads(0, app, Reading((IDLE,), device=1, inode=10, name="app"))
    s.sends(0, app, "4321 beat", fresh=True)
    s.reads(0, app, Reading((IDLE,), device=1, inode=20, name="other"))
    s.polls(1 * S)
    s.polls(2 * S)
    s.reads(3 * S, app, Reading((STOPPED,), device=1, inode=20, name="other"))
    s.polls(60 * S)
    s.reads(60 * S, app, Reading((IDLE,), device=1, inode=20, name="other"))
    s.sends(61 * S, app, "4321 beat", fresh=True)
    s.polls(62 * S)
    s.polls(63 * S, "4321 stall (idle 4321)")


@story(causes=True)
def another_program_that_ends(s: Story) -> None:
    """A process that executes another program is followed for its exit."""
    app = Process(APP)
    s.reads(0, app, Reading((IDLE,), device=1, inode=10))
    s.sends(0, app, "4321 beat")
    s.reads(0, app, Reading((IDLE,), device=1, inode=20))
    s.polls(1 * S)
    s.polls(9 * S)
    s.exits(10 * S, app, "4321 exit")


@story(causes=True)
def a_program_is_identified_from_any_beat(s: Story) -> None:
    """The first beat need not be fresh for that."""
    app = Process(APP)
    s.reads(0, app, Reading((IDLE,), device=1, inode=10))
    s.sends(0, app, "4321 beat")
    s.reads(0, app, Reading((IDLE,), device=1, inode=20))
    s.polls(1 * S)
    s.polls(60 * S)


@story(causes=True)
def threads_are_not_learned_from_a_backlog(s: Story) -> None:
    """Which threads ran between two beats is not known, so that one of them is gone is not seen."""
    app = Process(APP)
    last = beats_while_learned(s, app, threads=2, fresh=False)
    s.reads(last, app, Reading((replace(IDLE, run_ns=1_600_000, slices=8),)))
    s.polls(last + 1 * S)
    s.polls(last + 2 * S, "4321 stall (idle 4321)")


@story(causes=True)
def threads_are_known_after_four_looks(s: Story) -> None:
    """Three intervals are enough if there is no time for more."""
    app = Process(APP)
    last = beats_while_learned(s, app, threads=2, beats=4)
    s.reads(last, app, Reading((replace(IDLE, run_ns=800_000, slices=4),)))
    s.polls(last + 1 * S)
    s.polls(last + 2 * S, "4321 stall (thread-gone 4322)")


@story(causes=True)
def a_thread_that_ran_between_beats_is_gone(s: Story) -> None:
    """Seven intervals are enough to learn the threads."""
    app = Process(APP)
    last = beats_while_learned(s, app, threads=2)
    s.reads(last, app, Reading((replace(IDLE, run_ns=1_600_000, slices=8),)))
    s.polls(last + 1 * S)
    s.polls(last + 2 * S, "4321 stall (thread-gone 4322)")


@story(causes=True)
def the_learned_thread_that_sleeps_on(s: Story) -> None:
    """Of two that ran between beats, one still does. The other one hangs, though it only seems idle."""
    app = Process(APP)
    last = beats_while_learned(s, app, threads=2)
    hung = Thread(WORKER, "S", run_ns=1_600_000, slices=8, wait_channel="futex_do_wait", call="futex")
    for beat in range(8, 28):
        goes_on = replace(LOCKED, run_ns=(1 + beat) * 200_000, slices=1 + beat)
        s.reads(last + (beat - 7) * 100 * MS, app, Reading((goes_on, hung)))
        if beat == 17:
            s.polls(last + 1 * S)
    s.polls(last + 2 * S, "4321 stall (waiting 4322)")


@story(causes=True)
def more_than_its_beats_take(s: Story) -> None:
    """A loop that got less than half of the CPU it wanted is busy, and not starved: beats take far less."""
    app = Process(APP)
    last = beats_while_learned(s, app)
    s.reads(last, app, Reading((Thread(APP, "R", run_ns=1_600_000, slices=8),)))
    s.polls(last + 1 * S)
    loops = Thread(APP, "R", run_ns=101_600_000, wait_ns=890 * MS, slices=30)
    s.reads(last + 1 * S, app, Reading((loops,)))
    s.polls(last + 2 * S, "4321 stall (busy 4321)")


@story(causes=True)
def the_page_shows_which_thread_beats(s: Story) -> None:
    """The other thread waits for a lock, and it does not matter."""
    app = Process(APP)
    s.joins(0, app)
    s.beats(0, app)
    s.rings(0, app, "4321 beat")
    s.reads(0, app, Reading((IDLE, replace(LOCKED, thread=WORKER))))
    s.polls(1 * S)
    s.polls(2 * S, "4321 stall (idle 4321)")
    s.reads(3 * S, app, Reading((replace(LOCKED, thread=WORKER),)))
    s.polls(4 * S, "4321 cause (thread-gone 4321)")
    s.beats(5 * S, app)
    s.rings(5 * S, app, "4321 recovered", "4321 beat")


@story(causes=True)
def another_program_behind_a_page(s: Story) -> None:
    """A look that finds a beat learns the executable."""
    app = Process(APP)
    s.joins(0, app)
    s.reads(0, app, Reading((IDLE,), device=1, inode=10, name="app"))
    s.beats(0, app)
    s.rings(0, app, "4321 beat")
    s.reads(0, app, Reading((IDLE,), device=1, inode=20, name="other"))
    s.polls(1 * S)
    s.polls(60 * S)
    s.beats(61 * S, app)
    s.rings(61 * S, app, "4321 beat")


@story(causes=True)
def the_thread_of_a_task(s: Story) -> None:
    """A task that does not roam hangs in the thread that called it last."""
    app = Process(APP)
    s.joins(0, app)
    fetch = s.declares(0, app, "fetch", thread=WORKER)
    s.rings(0, app, "fetch task")
    s.reads(0, app, Reading((IDLE, replace(LOCKED, thread=WORKER))))
    s.polls(500 * MS)
    s.polls(1 * S, "fetch stall beat (lock 4322)")
    s.reads(1_900 * MS, app, Reading((IDLE, replace(IDLE, thread=WORKER))))
    s.polls(2 * S, "fetch cause (idle 4322)")
    s.calls(2_500 * MS, fetch, "beat")
    s.rings(2_500 * MS, app, "fetch recovered beat", "fetch beat")
    s.polls(3 * S)
    s.polls(3_500 * MS, "fetch stall beat (idle 4322)")
    s.closes(4 * S, fetch)
    s.rings(4 * S, app, "fetch closed")
    s.polls(60 * S)


@story(causes=True)
def a_task_that_roams(s: Story) -> None:
    """No thread is its own, so the one that hangs most explains it."""
    app = Process(APP)
    s.joins(0, app)
    s.declares(0, app, "fetch", thread=APP, roams=True)
    s.rings(0, app, "fetch task")
    s.reads(0, app, Reading((IDLE, replace(LOCKED, thread=WORKER))))
    s.polls(500 * MS)
    s.polls(1 * S, "fetch stall beat (lock 4322)")


@story(causes=True)
def a_process_and_its_task(s: Story) -> None:
    """Each has a cause of its own."""
    app = Process(APP)
    s.joins(0, app)
    s.declares(0, app, "fetch", threshold=1_500 * MS, thread=WORKER)
    s.beats(0, app)
    s.rings(0, app, "4321 beat", "fetch task")
    s.reads(0, app, Reading((IDLE, replace(LOCKED, thread=WORKER))))
    s.polls(750 * MS)
    s.polls(1 * S)
    s.polls(1_500 * MS, "fetch stall beat (lock 4322)")
    s.polls(2 * S, "4321 stall (idle 4321)")
    s.reads(3 * S, app, Reading((STOPPED, replace(STOPPED, thread=WORKER))))
    s.polls(3 * S, "fetch cause (stopped)")
    s.polls(4 * S, "4321 cause (stopped)")
    s.exits(5 * S, app, "4321 exit", signal=9)
