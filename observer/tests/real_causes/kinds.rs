//! The kinds of silence that are produced.

use std::time::Duration;

use varta_observer::Cause;

use crate::hangs;
use crate::outside::{self, Hold, mount_of};
use crate::support::ms;

/// One way to fall silent.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What it is, and what it may be called too.
    pub(crate) causes: &'static [Cause],
    pub(crate) shape: Shape,
    /// Which kinds are produced at the same time.
    pub(crate) wave: Wave,
    /// What the process does first.
    pub(crate) before: fn(),
    /// CPU time for each beat.
    pub(crate) work: Duration,
    /// What the beating thread does at last.
    pub(crate) hang: fn(),
    /// What is done from outside to a process that goes on.
    pub(crate) hold: Option<fn(u32) -> Hold>,
}

/// The threads of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One thread, which beats.
    Alone,
    /// The first thread beats, and others are well.
    Main,
    /// Another thread beats, and others are well.
    Worker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wave {
    /// Uses hardly any CPU time.
    Quiet,
    /// Uses a whole CPU.
    Loud,
    /// Uses one CPU up, on purpose.
    Hogging,
}

impl Wave {
    pub(crate) const ALL: [Self; 3] = [Self::Quiet, Self::Loud, Self::Hogging];

    /// How many kinds are produced at the same time in the full run.
    pub(crate) fn at_once(self) -> usize {
        match self {
            Self::Quiet => 8,
            Self::Loud | Self::Hogging => 1,
        }
    }
}

impl Kind {
    /// Whether this system has what it takes.
    pub(crate) fn is_possible(&self) -> bool {
        match self.name {
            "frozen in a group of the first version" => mount_of("cgroup", "freezer").is_some(),
            "frozen in a group of the second version" | "frozen with several threads" => {
                mount_of("cgroup2", "").is_some()
            }
            "throttled" => mount_of("cgroup", "cpu").is_some(),
            _ => true,
        }
    }

    /// Whether the kernel reports this cause, rather than its effects.
    pub(crate) fn is_certain(&self) -> bool {
        !matches!(self.causes, [Starved | Throttled, ..])
    }
}

const fn quiet(name: &'static str, causes: &'static [Cause], hang: fn()) -> Kind {
    Kind {
        name,
        causes,
        shape: Shape::Alone,
        wave: Wave::Quiet,
        before: || (),
        work: Duration::ZERO,
        hang,
        hold: None,
    }
}

const fn loud(name: &'static str, causes: &'static [Cause], hang: fn()) -> Kind {
    Kind { wave: Wave::Loud, ..quiet(name, causes, hang) }
}

const fn of(shape: Shape, kind: Kind) -> Kind {
    Kind { shape, ..kind }
}

const fn held(name: &'static str, causes: &'static [Cause], hold: fn(u32) -> Hold) -> Kind {
    Kind { hold: Some(hold), ..quiet(name, causes, || ()) }
}

use Cause::{
    Awake, Busy, Child, Exec, Frozen, Idle, LeaderExited, Lock, Memory, Starved, Stopped,
    ThreadGone, Throttled, Traced, Waiting,
};
use Shape::{Main, Worker};

pub(crate) static KINDS: &[Kind] = &[
    quiet("on a mutex", &[Lock], hangs::on_a_mutex),
    quiet("on its own mutex", &[Lock], hangs::on_its_own_mutex),
    quiet("on two mutexes", &[Lock], hangs::on_two_mutexes),
    quiet("on a mutex with priorities", &[Lock], hangs::on_a_mutex_with_priorities),
    quiet("on a mutex of Rust", &[Lock], hangs::on_a_mutex_of_rust),
    quiet("on a reader", &[Lock, Waiting], hangs::on_a_reader),
    quiet("on a file lock", &[Lock], hangs::on_a_file_lock),
    quiet("on a record lock", &[Lock], hangs::on_a_record_lock),
    quiet("on a condition", &[Waiting], hangs::on_a_condition),
    quiet("on a semaphore", &[Waiting], hangs::on_a_semaphore),
    quiet("on the end of a thread", &[Waiting], hangs::on_the_end_of_a_thread),
    quiet("parked", &[Waiting], hangs::parked),
    quiet("on a channel", &[Waiting], hangs::on_a_channel),
    quiet("on a child", &[Child], hangs::on_a_child),
    quiet("on a child that does not exec", &[Child], hangs::on_a_child_that_does_not_exec),
    quiet("in a receive", &[Idle], hangs::in_receive),
    quiet("in a pipe", &[Idle], hangs::in_a_pipe),
    quiet("in epoll", &[Idle], hangs::in_epoll),
    quiet("in poll", &[Idle], hangs::in_poll),
    quiet("in sleep", &[Idle], hangs::in_sleep),
    quiet("in pause", &[Idle], hangs::in_pause),
    quiet("in a full socket", &[Idle], hangs::in_a_full_socket),
    quiet("in connect", &[Idle], hangs::in_connect),
    quiet("in a page fault", &[Memory], hangs::in_a_page_fault),
    quiet("stopped by itself", &[Stopped], hangs::stopped_by_itself),
    quiet("executing another program", &[Exec], hangs::executing_another_program),
    quiet("without its first thread", &[LeaderExited], hangs::without_its_first_thread),
    of(Main, quiet("the first of several, on a mutex", &[Lock], hangs::on_a_mutex)),
    of(Main, quiet("the first of several, on a condition", &[Waiting], hangs::on_a_condition)),
    of(Main, quiet("the first of several, in a receive", &[Idle], hangs::in_receive)),
    of(Worker, quiet("a worker on a mutex", &[Lock], hangs::on_a_mutex)),
    of(Worker, quiet("a worker on a condition", &[Waiting], hangs::on_a_condition)),
    of(Worker, quiet("a worker in a receive", &[Idle], hangs::in_receive)),
    of(Worker, quiet("a worker in epoll", &[Idle], hangs::in_epoll)),
    of(Worker, quiet("a worker that ends", &[ThreadGone], hangs::without_its_thread)),
    held("stopped", &[Stopped], outside::stop),
    held("traced", &[Traced], outside::trace),
    held("frozen in a group of the first version", &[Frozen], outside::freeze_v1),
    held("frozen in a group of the second version", &[Frozen], outside::freeze_v2),
    of(Main, held("stopped with several threads", &[Stopped], outside::stop)),
    of(Main, held("traced with several threads", &[Traced], outside::trace)),
    of(Main, held("frozen with several threads", &[Frozen], outside::freeze_v2)),
    loud("spinning", &[Busy], hangs::spinning),
    loud("spinning in calls", &[Busy], hangs::spinning_in_calls),
    loud("yielding", &[Busy], hangs::yielding),
    loud("polling without waiting", &[Busy], hangs::polling_without_waiting),
    loud("sleeping a little", &[Awake], hangs::sleeping_a_little),
    loud("trying to receive", &[Awake], hangs::trying_to_receive),
    of(Worker, loud("a worker that spins", &[Busy], hangs::spinning)),
    Kind {
        wave: Wave::Hogging,
        before: outside::only_when_idle,
        work: ms(3),
        ..held("starved", &[Starved], outside::hog)
    },
    Kind {
        wave: Wave::Hogging,
        work: ms(5),
        ..held("throttled", &[Throttled], outside::throttle)
    },
];
