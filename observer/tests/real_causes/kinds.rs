//! The kinds of silence that are produced.

use std::sync::LazyLock;

use varta_observer::Cause;

use crate::hangs::{Hang, ends, files, locks, memory, turns, waits};
use crate::needs::Need;
use crate::outside::{self, Hold, burn};
use crate::programs::Program;
use crate::support::ms;

/// One way to fall silent.
pub(crate) struct Kind {
    pub(crate) name: String,
    /// What it is, and what it may be called too.
    pub(crate) causes: &'static [Cause],
    pub(crate) shape: Shape,
    /// Which kinds are produced at the same time.
    pub(crate) wave: Wave,
    /// Whether it is produced in the full run only.
    pub(crate) is_dear: bool,
    needs: &'static [Need],
    /// What the process does first.
    pub(crate) before: fn(),
    /// What it does for each beat.
    pub(crate) work: fn(),
    /// How the beating thread hangs.
    pub(crate) hang: Hang,
    /// What is done to the process when it beats for the first time.
    pub(crate) around: Option<fn(u32) -> Hold>,
    /// What is done from outside to a process that goes on.
    pub(crate) hold: Option<fn(u32) -> Hold>,
    /// The program that beats and hangs, if that is not this one.
    pub(crate) program: Option<Program>,
}

/// The threads of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One thread, which beats.
    Alone,
    /// The first thread beats. Others are well, or wait for work.
    Main,
    /// Another thread beats. Others are well, or wait for work.
    Worker,
    /// The first thread beats. Another one uses a whole CPU, and others wait for work.
    BesideSpinning,
    /// Several threads beat in turn.
    InTurn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wave {
    /// Uses hardly any CPU time.
    Quiet,
    /// Uses a whole CPU, or the disk.
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
    /// What this system lacks to produce it, if anything.
    pub(crate) fn missing(&self) -> Option<String> {
        self.needs.iter().find_map(|need| need.missing())
    }

    /// Whether the kernel reports this cause, rather than its effects.
    pub(crate) fn is_certain(&self) -> bool {
        !matches!(self.causes, [Starved | Throttled, ..])
    }

    fn of(self, shape: Shape) -> Self {
        let name = match shape {
            Alone => self.name,
            Main => format!("the first of several, {}", self.name),
            Worker => format!("a worker {}", self.name),
            BesideSpinning => format!("{} beside a spinning thread", self.name),
            InTurn => format!("those that beat in turn, {}", self.name),
        };
        Self { name, shape, ..self }
    }

    fn loud(self) -> Self {
        Self { wave: Wave::Loud, ..self }
    }

    fn hogging(self, work: fn()) -> Self {
        Self { wave: Wave::Hogging, work, ..self }
    }

    fn dear(self) -> Self {
        Self { is_dear: true, ..self }
    }

    fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    fn before(self, before: fn()) -> Self {
        Self { before, ..self }
    }

    fn around(self, around: fn(u32) -> Hold) -> Self {
        Self { around: Some(around), ..self }
    }
}

fn kind(name: &str, cause: &'static [Cause], hang: Hang) -> Kind {
    Kind {
        name: name.to_owned(),
        causes: cause,
        shape: Alone,
        wave: Wave::Quiet,
        is_dear: false,
        needs: &[],
        before: || (),
        work: || (),
        hang,
        around: None,
        hold: None,
        program: None,
    }
}

fn held(name: &str, cause: &'static [Cause], hold: fn(u32) -> Hold) -> Kind {
    Kind { hold: Some(hold), ..kind(name, cause, |_| ()) }
}

fn program(name: &str, cause: &'static [Cause], program: Program) -> Kind {
    let needs: &[Need] = match program {
        Program::Go(_) => &[Need::Go],
        Program::Java(_) => &[Need::Java],
        Program::Node(_) => &[Need::Node],
        Program::Python(..) | Program::PythonThread(..) => &[Need::Python],
    };
    Kind { program: Some(program), ..kind(name, cause, |_| ()) }.needs(needs).dear()
}

use Cause::{
    Awake, Busy, Child, Dumping, Exec, Frozen, Idle, Io, LeaderExited, Lock, Memory, Starved,
    Stopped, ThreadGone, Throttled, Traced, Waiting,
};
use Need::{
    CoreFiles, Disk, FirstVersion, Fuse, Gdb, LoopDevices, SecondVersion, SecondVersionWith,
    Swap,
};
use Shape::{Alone, BesideSpinning, InTurn, Main, Worker};

pub(crate) static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    [own(), of_several_threads(), held_from_outside(), overloaded(), of_the_kernel(), others()]
        .into_iter()
        .flatten()
        .collect()
});

fn own() -> Vec<Kind> {
    vec![
        kind("on a mutex", &[Lock], locks::on_a_mutex),
        kind("on its own mutex", &[Lock], locks::on_its_own_mutex),
        kind("on two mutexes", &[Lock], locks::on_two_mutexes),
        kind("on a mutex with priorities", &[Lock], locks::on_a_mutex_with_priorities),
        kind("on a mutex of Rust", &[Lock], locks::on_a_mutex_of_rust),
        kind("on a reader", &[Lock, Waiting], locks::on_a_reader),
        kind("on a file lock", &[Lock], locks::on_a_file_lock),
        kind("on a record lock", &[Lock], locks::on_a_record_lock),
        kind("on a held mutex", &[Lock], locks::on_a_mutex_whose_holder_receives).dear(),
        kind("on a System V semaphore", &[Lock], locks::on_a_semaphore_of_system_v),
        kind("on a condition", &[Waiting], waits::on_a_condition),
        kind("on a semaphore", &[Waiting], waits::on_a_semaphore),
        kind("on the end of a thread", &[Waiting], waits::on_the_end_of_a_thread),
        kind("parked", &[Waiting], waits::parked),
        kind("on a channel", &[Waiting], waits::on_a_channel),
        kind("on a child", &[Child], waits::on_a_child),
        kind("on a child before exec", &[Child], waits::on_a_child_that_does_not_exec),
        kind("in a receive", &[Idle], waits::in_receive),
        kind("in a pipe", &[Idle], waits::in_a_pipe),
        kind("in epoll", &[Idle], waits::in_epoll),
        kind("in poll", &[Idle], waits::in_poll),
        kind("in sleep", &[Idle], waits::in_sleep),
        kind("in pause", &[Idle], waits::in_pause),
        kind("in a full socket", &[Idle], waits::in_a_full_socket),
        kind("in connect", &[Idle], waits::in_connect),
        kind("executing another program", &[Exec], ends::executing_another_program),
        kind("executing the same program", &[Exec], ends::executing_the_same_program).dear(),
        kind("without its first thread", &[LeaderExited], ends::without_its_first_thread),
        kind("spinning", &[Busy], turns::spinning).loud(),
        kind("spinning in calls", &[Busy], turns::spinning_in_calls).loud(),
        kind("reading zeros", &[Busy], turns::reading_zeros).loud().dear(),
        kind("yielding", &[Busy], turns::yielding).loud(),
        kind("polling without waiting", &[Busy], turns::polling_without_waiting).loud(),
        kind("sleeping a little", &[Awake], turns::sleeping_a_little).loud(),
        kind("trying to receive", &[Awake], turns::trying_to_receive).loud(),
        kind("trying a mutex", &[Awake, Lock], locks::trying_a_mutex).loud().dear(),
    ]
}

fn of_several_threads() -> Vec<Kind> {
    let mutex = || kind("on a mutex", &[Lock], locks::on_a_mutex);
    let two = || kind("on two mutexes", &[Lock], locks::on_two_mutexes).dear();
    let condition = || kind("on a condition", &[Waiting], waits::on_a_condition);
    let receive = || kind("in a receive", &[Idle], waits::in_receive);
    let epoll = || kind("in epoll", &[Idle], waits::in_epoll);
    let spins = || kind("spinning", &[Busy], turns::spinning).loud();
    let calls = || kind("spinning in calls", &[Busy], turns::spinning_in_calls).loud().dear();
    let child = || {
        let hang = waits::on_a_child_that_does_not_exec;
        kind("on a child before exec", &[Child], hang).dear()
    };
    let ends = || kind("that ends", &[ThreadGone], ends::without_its_thread);
    vec![
        mutex().of(Main),
        two().of(Main),
        condition().of(Main),
        receive().of(Main),
        epoll().of(Main).dear(),
        spins().of(Main).dear(),
        calls().of(Main),
        child().of(Main),
        mutex().of(Worker),
        two().of(Worker),
        condition().of(Worker),
        receive().of(Worker),
        epoll().of(Worker),
        spins().of(Worker),
        calls().of(Worker),
        child().of(Worker),
        ends().of(Worker),
        mutex().of(BesideSpinning).loud().dear(),
        condition().of(BesideSpinning).loud().dear(),
        receive().of(BesideSpinning).loud().dear(),
        epoll().of(BesideSpinning).loud().dear(),
        spins().of(BesideSpinning).dear(),
        child().of(BesideSpinning).loud(),
        mutex().of(InTurn).dear(),
        condition().of(InTurn).dear(),
        receive().of(InTurn).dear(),
        spins().of(InTurn).dear(),
    ]
}

fn held_from_outside() -> Vec<Kind> {
    let dump = || kind("dumping core", &[Dumping], ends::dumping).needs(&[CoreFiles, Fuse]);
    let first = &[FirstVersion("freezer")];
    vec![
        kind("stopped by itself", &[Stopped], ends::stopped_by_itself),
        held("stopped", &[Stopped], outside::stop),
        held("stopped", &[Stopped], outside::stop).of(Main),
        held("traced", &[Traced], outside::trace),
        held("traced", &[Traced], outside::trace).of(Main),
        held("in a debugger", &[Traced], outside::debug).needs(&[Gdb]).dear(),
        held("frozen, first version", &[Frozen], outside::freeze_v1).needs(first),
        held("frozen, first version", &[Frozen], outside::freeze_v1)
            .needs(first)
            .of(Main)
            .dear(),
        held("frozen, second version", &[Frozen], outside::freeze_v2).needs(&[SecondVersion]),
        held("frozen, second version", &[Frozen], outside::freeze_v2)
            .needs(&[SecondVersion])
            .of(Main),
        dump(),
        dump().of(Main).dear(),
        dump().of(Worker).dear(),
        kind("watched by a tracer, in a receive", &[Idle], waits::in_receive)
            .around(outside::watch)
            .dear(),
    ]
}

/// Those that lack the CPU, and others among them.
fn overloaded() -> Vec<Kind> {
    let cpu = &[FirstVersion("cpu")];
    vec![
        held("starved of all idle time", &[Starved], outside::hog)
            .before(outside::only_when_idle)
            .hogging(|| burn(ms(3))),
        held("starved by better ones", &[Starved], outside::hog)
            .before(outside::nice)
            .hogging(|| burn(ms(3)))
            .dear(),
        held("starved by many", &[Starved], outside::crowd)
            .before(outside::on_the_last_cpu)
            .hogging(|| burn(ms(10)))
            .dear(),
        held("starved by a first one", &[Starved], outside::hog_first)
            .before(outside::on_the_last_cpu)
            .hogging(|| burn(ms(20)))
            .dear(),
        held("throttled", &[Throttled], outside::throttle).needs(cpu).hogging(|| burn(ms(5))),
        held("throttled for long", &[Throttled], outside::throttle_for_long)
            .needs(cpu)
            .hogging(|| burn(ms(5)))
            .dear(),
        held("throttled", &[Throttled], outside::throttle_several)
            .needs(cpu)
            .hogging(|| burn(ms(5)))
            .of(Main)
            .dear(),
        held("throttled, second version", &[Throttled], outside::throttle_v2)
            .needs(&[SecondVersionWith("cpu")])
            .hogging(|| burn(ms(5)))
            .dear(),
        kind("spinning among many", &[Busy], turns::spinning)
            .before(outside::on_the_last_cpu)
            .around(outside::overload)
            .hogging(|| ())
            .dear(),
        kind("on a mutex among many", &[Lock], locks::on_a_mutex)
            .before(outside::on_the_last_cpu)
            .around(outside::overload)
            .hogging(|| ())
            .dear(),
        kind("in a receive among many", &[Idle], waits::in_receive)
            .before(outside::on_the_last_cpu)
            .around(outside::overload)
            .hogging(|| ())
            .dear(),
        kind("spinning with a quota", &[Busy], turns::spinning)
            .needs(cpu)
            .around(outside::throttle_a_little)
            .hogging(|| ())
            .dear(),
        kind("in a receive with a quota", &[Idle], waits::in_receive)
            .needs(cpu)
            .around(outside::throttle_a_little)
            .hogging(|| ())
            .dear(),
    ]
}

fn of_the_kernel() -> Vec<Kind> {
    let fuse =
        || kind("on a hung FUSE mount", &[Io], files::on_a_hung_file_system).needs(&[Fuse]);
    let frozen = || {
        let hang = files::on_a_frozen_file_system;
        kind("on a frozen file system", &[Io], hang).needs(&[LoopDevices]).dear()
    };
    let fault = || kind("in a page fault", &[Memory], memory::in_a_page_fault);
    vec![
        fuse(),
        fuse().of(Main).dear(),
        fuse().of(Worker).dear(),
        frozen(),
        frozen().of(Main),
        frozen().of(Worker),
        kind("on a throttled disk", &[Io], files::on_a_throttled_disk)
            .needs(&[FirstVersion("blkio"), Disk])
            .around(outside::slow_disk)
            .loud()
            .dear(),
        fault(),
        fault().of(Main).dear(),
        fault().of(Worker).dear(),
        kind("out of memory", &[Memory], memory::growing)
            .needs(&[FirstVersion("memory")])
            .around(outside::limit_memory)
            .loud()
            .dear(),
        kind("reading a mapped file", &[Memory, Io], memory::reading_a_mapped_file)
            .needs(&[FirstVersion("memory"), Disk])
            .around(outside::squeeze)
            .loud()
            .dear(),
        kind("swapping", &[Memory], memory::swapping)
            .needs(&[FirstVersion("memory"), Swap])
            .around(outside::squeeze)
            .loud()
            .dear(),
    ]
}

/// Other languages, whose runtimes hide in what a program waits.
fn others() -> Vec<Kind> {
    use Program::{Go, Java, Node, Python, PythonThread};
    let locked = "lock = threading.Lock(); lock.acquire()";
    let keeps = "threading.Thread(target=lambda: sum(range(10**12)), daemon=True).start()";
    vec![
        program("Python, on a lock", &[Waiting], Python(locked, "lock.acquire()")),
        program("Python, on a condition", &[Waiting], {
            Python("condition = threading.Condition(); condition.acquire()", "condition.wait()")
        }),
        program("Python, on a queue", &[Waiting], {
            Python("waiting = queue.Queue()", "waiting.get()")
        }),
        program("Python, on the end of a thread", &[Waiting], {
            let start =
                "other = threading.Thread(target=time.sleep, args=(1000,)); other.start()";
            Python(start, "other.join()")
        }),
        program("Python, in sleep", &[Idle], Python("pass", "time.sleep(1000)")),
        program("Python, in its event loop", &[Idle], {
            Python("pass", "asyncio.run(asyncio.sleep(1000))")
        }),
        program("Python, spinning", &[Busy], Python("pass", "while True: pass")).loud(),
        program("Python, in a regular expression", &[Busy], {
            Python("pass", "re.match('(a+)+b', 'a' * 64)")
        })
        .loud(),
        program("Python, without the interpreter lock", &[Awake, Busy], {
            Python("pass", keeps)
        })
        .loud(),
        program(
            "Python, a thread on a lock",
            &[Waiting],
            PythonThread(locked, "lock.acquire()"),
        ),
        program("Python, a thread in a receive", &[Idle], {
            let pair = "own, other = socket.socketpair()";
            PythonThread(pair, "own.recv(1)")
        }),
        program("Go, on a mutex", &[Idle, Waiting], Go("mutex")),
        program("Go, on a channel", &[Idle, Waiting], Go("channel")),
        program("Go, spinning", &[Busy], Go("spin")).loud(),
        program("Java, on a monitor", &[Waiting], Java("monitor")),
        program("Java, on two monitors", &[Waiting], Java("deadlock")),
        program("Java, on a queue", &[Waiting], Java("queue")),
        program("Java, on the end of a thread", &[Waiting], Java("join")),
        program("Java, in accept", &[Idle], Java("accept")),
        program("Java, spinning", &[Busy], Java("spin")).loud(),
        program("Node, in its event loop", &[Idle], Node("idle")),
        program("Node, on a child", &[Idle, Child], Node("child")),
        program("Node, in Atomics.wait", &[Waiting], Node("atomics")),
        program("Node, spinning", &[Busy], Node("spin")).loud(),
        program("Node, in a regular expression", &[Busy], Node("pattern")).loud(),
    ]
}
