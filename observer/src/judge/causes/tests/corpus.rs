//! Recorded readings.

use crate::cause::Cause;
use crate::judge::causes::Text;
use crate::judge::causes::learned::{Learned, Learner};
use crate::judge::causes::reading::{Call, ProcessReading, Quota, Sample, ThreadReading};
use crate::program_name::ProgramName;

/// A process that fell silent for a known cause, and what was read of it.
pub(super) struct Trial {
    pub(super) name: String,
    /// The cause, and others that are as good.
    pub(super) accepted: Vec<Cause>,
    /// The thread that hangs, 0 if it does not matter.
    pub(super) thread: u32,
    executable: Option<(u64, u64)>,
    looks: Vec<Sample>,
    pub(super) before: Sample,
    pub(super) now: Sample,
}

impl Trial {
    /// What is learned from the looks while it beat.
    pub(super) fn learned(&self) -> Learned {
        let mut learner = Learner::NEW;
        for (beats, look) in (1..).zip(&self.looks) {
            if learner.look(look, beats) {
                break;
            }
        }
        learner.result(self.executable)
    }
}

/// Reads recordings: lines of words, with times in nanoseconds.
///
/// - `trial NAME CAUSE[,CAUSE..] THREAD` begins a trial: which causes are right, and which thread
///   hangs.
/// - `executable DEVICE:INODE` is what it was when the process beat.
/// - `look`, `before` and `now` begin a sample: when, time suspended, CPU clock, threads; and
///   after the looks: executable, name, whether it dumps, tracer, whether it is frozen and under
///   OOM, quotas, memory pressure.
/// - `.` begins a thread of a sample: its number, when, run, wait (not in looks), slices, and
///   after the looks: state, flags, major faults, user and system ticks, wait channel, call.
pub(super) fn trials(recordings: &'static str) -> impl Iterator<Item = Trial> {
    let mut lines = recordings.lines().peekable();
    std::iter::from_fn(move || {
        let mut words = lines.next()?.split(' ');
        assert_eq!(words.next(), Some("trial"));
        let mut next = || words.next().unwrap();
        let mut trial = Trial {
            name: next().to_owned(),
            accepted: next().split(',').map(cause).collect(),
            thread: next().parse().unwrap(),
            executable: None,
            looks: Vec::new(),
            before: Sample::try_new().unwrap(),
            now: Sample::try_new().unwrap(),
        };
        while lines.peek().is_some_and(|line| !line.starts_with("trial ")) {
            let line = lines.next()?;
            let (kind, rest) = line.split_once(' ').unwrap();
            if kind == "executable" {
                trial.executable = executable(rest);
                continue;
            }
            let mut sample = Sample::try_new().unwrap();
            sample.process = process(rest);
            while let Some(thread) = lines.peek().and_then(|line| line.strip_prefix(". ")) {
                assert!(sample.push(self::thread(thread)));
                lines.next();
            }
            match kind {
                "look" => trial.looks.push(sample),
                "before" => trial.before = sample,
                "now" => trial.now = sample,
                kind => panic!("{kind}"),
            }
        }
        Some(trial)
    })
}

fn cause(name: &str) -> Cause {
    *Cause::ALL.iter().find(|cause| cause.name() == name).unwrap()
}

fn executable(word: &str) -> Option<(u64, u64)> {
    let (device, inode) = word.split_once(':')?;
    Some((device.parse().unwrap(), inode.parse().unwrap()))
}

fn process(line: &str) -> ProcessReading {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let is_set = |at: usize| words.get(at).is_some_and(|word| *word == "1");
    let mut read = ProcessReading {
        read_at: number(0).unwrap(),
        asleep_ns: number(1).unwrap(),
        clock_ns: number(2),
        threads: number(3).unwrap().try_into().unwrap(),
        ..ProcessReading::NOTHING
    };
    if words.len() > 4 {
        read.executable = executable(words[4]);
        read.name = ProgramName::from_bytes(words[5].as_bytes());
        read.dumping = is_set(6);
        read.tracer = number(7).unwrap().try_into().unwrap();
        read.frozen = is_set(8);
        read.under_oom = is_set(9);
        for quota in words[10].split(',').filter(|word| *word != "-") {
            let mut numbers = quota.split(':').map(|word| word.parse().unwrap());
            let mut next = || numbers.next().unwrap();
            read.quotas.push(Quota {
                group: next(),
                periods: next(),
                throttled: next(),
                period_ns: 0,
            });
        }
        read.memory_pressure_ns = number(11);
    }
    read
}

fn thread(line: &str) -> ThreadReading {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let mut read = ThreadReading {
        thread: words[0].parse().unwrap(),
        read_at: number(1),
        run_ns: number(2),
        slices: number(words.len().min(5) - 1),
        ..ThreadReading::NOTHING
    };
    if words.len() > 5 {
        read.wait_ns = number(3);
        read.state = words[5].as_bytes()[0];
        read.flags = words[6].parse().unwrap();
        read.major_faults = number(7);
        read.user_ticks = number(8);
        read.system_ticks = number(9);
        if words[10] != "-" {
            read.wait_channel = Text::from_bytes(words[10].as_bytes());
        }
        read.call = call(words[11]);
    }
    read
}

fn call(word: &str) -> Call {
    match word {
        "?" => Call::Unknown,
        "running" => Call::Running,
        "outside" => Call::Outside,
        word => {
            let mut words = word.split(':');
            let name = words.next().unwrap().to_owned().leak();
            let number = words.next().unwrap().parse().unwrap();
            let mut arguments = [0; 4];
            for (argument, word) in arguments.iter_mut().zip(words) {
                *argument = word.parse().unwrap();
            }
            Call::In { number, name, arguments }
        }
    }
}
