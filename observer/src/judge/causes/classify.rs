//! From readings of a process to the cause of its silence.

use std::fmt::Write;

use super::Text;
use super::learned::{Average, Learned};
use super::reading::{Call, Lacks, ProcessReading, Sample, ThreadReading};
use super::suspects::{Suspects, find_suspects};
use super::thread::{self, Around, EXITING, Verdict};
use crate::cause::{Cause, CauseFlags, CauseInfo, Certainty, Why};

/// A time between two readings that is shorter than this tells little.
pub(super) const LEAST_WINDOW_NS: u64 = 20_000_000;

/// The two clocks diverge by more than this only if the system is suspended.
const SUSPENDED_NS: u64 = 50_000_000;

/// Everything by which the cause of a silence is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    /// The reading from when the silence had lasted for a while.
    pub(super) before: Option<&'a Sample>,
    pub(super) now: &'a Sample,
    pub(super) learned: &'a Learned,
    /// The thread that hangs, if the process told it.
    pub(super) told: Option<u32>,
}

impl<'a> Evidence<'a> {
    /// Without an earlier reading that was made at about the same time.
    fn new(
        before: Option<&'a Sample>,
        now: &'a Sample,
        learned: &'a Learned,
        told: Option<u32>,
    ) -> (Self, bool) {
        let window =
            |before: &Sample| now.process.read_at.saturating_sub(before.process.read_at);
        let long = before.filter(|before| window(before) >= LEAST_WINDOW_NS);
        let short = before.is_some() && long.is_none();
        (Self { before: long, now, learned, told }, short)
    }

    pub(super) fn before(&self, thread: u32) -> Option<&'a ThreadReading> {
        self.before?.thread(thread)
    }

    /// How long the earlier reading is ago.
    fn window_ns(&self) -> u64 {
        self.before
            .map_or(0, |before| self.now.process.read_at.saturating_sub(before.process.read_at))
    }

    /// The threads that have not ended.
    fn living(&self) -> impl Iterator<Item = &'a ThreadReading> {
        self.now.threads().iter().filter(|thread| !has_ended(thread))
    }

    /// Whether the system lacks memory: processes have waited for it for a fifth of the time.
    fn memory_pressure(&self) -> bool {
        let at = |sample: &Sample| sample.process.memory_pressure_ns;
        let waited = self.before.and_then(at).zip(at(self.now));
        waited.is_some_and(|(before, now)| now.saturating_sub(before) > self.window_ns() / 5)
    }

    /// What a thread did for each beat on average until it fell silent.
    pub(super) fn average(&self, thread: u32) -> Option<Average> {
        self.learned.average(self.before(thread)?, self.now.thread(thread)?)
    }

    /// How long a thread runs for a beat and in how many slices, if that is known.
    fn of_a_beat(&self, thread: u32) -> Option<(u64, u64)> {
        if let Some(learned) = self.learned.thread(thread) {
            return Some((learned.per_beat_ns.into(), learned.slices_per_beat.into()));
        }
        // Of several threads another one may have made the beats.
        let makes_beats = self.now.process.threads <= 1 || self.told == Some(thread);
        let average = self.average(thread).filter(|_| makes_beats)?;
        Some((average.run_ns, average.slices))
    }

    fn around(&self, thread: u32) -> Around {
        let beat = self.of_a_beat(thread);
        Around {
            per_beat_ns: beat.map(|(run_ns, _)| run_ns),
            slices_per_beat: beat.map(|(_, slices)| slices),
            memory_pressure: self.memory_pressure(),
            lacks: self.now.process.lacks,
        }
    }

    pub(super) fn judge(&self, thread: &ThreadReading) -> Verdict {
        thread::judge(self.before(thread.thread), thread, self.around(thread.thread))
    }
}

/// Whether a thread has ended and was not collected yet.
fn has_ended(thread: &ThreadReading) -> bool {
    matches!(thread.state, b'Z' | b'X')
}

/// What is found out before it is known in what threads wait: the cause, or the threads of
/// which that must be read first.
pub(super) enum First {
    Cause(CauseInfo),
    Suspects(Suspects),
}

/// The first part of [`classify`].
pub(super) fn look_at_all(
    before: Option<&Sample>,
    now: &Sample,
    learned: &Learned,
    told: Option<u32>,
) -> First {
    let (evidence, short) = Evidence::new(before, now, learned, told);
    match of_process(&evidence) {
        Some(mut info) => {
            add_flags(&mut info, &evidence, short);
            First::Cause(info)
        }
        None => First::Suspects(find_suspects(&evidence)),
    }
}

/// The second part of [`classify`]: in what these threads wait has been read.
pub(super) fn look_at_suspects(
    before: Option<&Sample>,
    now: &Sample,
    learned: &Learned,
    told: Option<u32>,
    suspects: &Suspects,
) -> CauseInfo {
    let (evidence, short) = Evidence::new(before, now, learned, told);
    let mut info = match suspects.choose(&evidence) {
        Some((thread, verdict)) => of_thread(&evidence, thread, &verdict),
        None => by_clock(&evidence),
    };
    add_flags(&mut info, &evidence, short);
    info
}

/// Finds out why a process does not go on, from a reading of it and an earlier one, if there is
/// one. `thread` is the thread that hangs, if that is known. In what each thread waits must have
/// been read.
///
/// The cause is surest if the two readings are half a second or more apart.
///
/// ```
/// use varta_observer::Cause;
/// use varta_observer::judge::{Sample, ThreadReading, diagnose};
///
/// let mut now = Sample::try_new()?;
/// now.push(ThreadReading { thread: 7, state: b'T', stop_signal: 19, ..ThreadReading::NOTHING });
/// let info = diagnose(None, &now, None);
/// assert_eq!((info.why.cause, info.signal), (Cause::Stopped, 19));
/// # Ok::<(), varta_observer::judge::OutOfMemory>(())
/// ```
#[must_use]
pub fn diagnose(before: Option<&Sample>, now: &Sample, thread: Option<u32>) -> CauseInfo {
    classify(before, now, &Learned::NOTHING, thread)
}

/// Finds the cause of a silence if in what each thread waits has been read.
pub(super) fn classify(
    before: Option<&Sample>,
    now: &Sample,
    learned: &Learned,
    told: Option<u32>,
) -> CauseInfo {
    match look_at_all(before, now, learned, told) {
        First::Cause(info) => info,
        First::Suspects(suspects) => look_at_suspects(before, now, learned, told, &suspects),
    }
}

fn add_flags(info: &mut CauseInfo, evidence: &Evidence<'_>, short: bool) {
    let process = &evidence.now.process;
    let flags = &mut info.why.flags;
    for (flag, set) in [
        (CauseFlags::TRACER, process.tracer != 0),
        (CauseFlags::MANY_THREADS, process.threads > 1),
        (CauseFlags::NO_PERMISSION, process.lacks != Lacks::default()),
        (CauseFlags::SHORT_WINDOW, short),
    ] {
        if set {
            *flags |= flag;
        }
    }
    // What the kernel reports needs no window.
    if short && info.why.certainty != Certainty::Certain {
        info.why.certainty = Certainty::Guess;
    }
    if info.window_ns == 0 {
        info.window_ns = evidence.window_ns();
    }
}

fn certain(cause: Cause) -> CauseInfo {
    let why = Why { cause, certainty: Certainty::Certain, ..Why::UNKNOWN };
    CauseInfo { why, ..CauseInfo::UNKNOWN }
}

/// A cause that concerns the process as a whole, or which of its threads are left.
fn of_process(evidence: &Evidence<'_>) -> Option<CauseInfo> {
    let now = &evidence.now.process;
    let asleep = |before: &Sample| now.asleep_ns.saturating_sub(before.process.asleep_ns);
    if evidence.before.map_or(0, asleep) > SUSPENDED_NS {
        return Some(certain(Cause::Suspended));
    }
    if now.dumping {
        return Some(certain(Cause::Dumping));
    }
    let threads = evidence.now.threads();
    if threads.is_empty() {
        return None;
    }
    let all = |is: fn(&ThreadReading) -> bool| {
        evidence.living().next().is_some() && evidence.living().all(is)
    };
    let ended = threads.iter().all(has_ended);
    if ended || now.killed || threads.iter().all(|thread| thread.flags & EXITING != 0) {
        return Some(certain(Cause::Dying));
    }
    if all(|thread| thread.state == b't') {
        let mut info = certain(Cause::Traced);
        info.why.other = now.tracer;
        return Some(info);
    }
    if all(|thread| thread.state == b'T') {
        let mut info = certain(Cause::Stopped);
        let signals = evidence.living().map(|thread| thread.stop_signal);
        info.signal = signals.max().unwrap_or(0);
        return Some(info);
    }
    if now.frozen {
        return Some(in_group(Cause::Frozen, "cgroup", now));
    }
    if now.under_oom {
        return Some(in_group(Cause::Memory, "out of memory in cgroup", now));
    }
    changed(evidence)
}

fn in_group(cause: Cause, what: &str, process: &ProcessReading) -> CauseInfo {
    let mut info = certain(cause);
    info.detail = Text::from_bytes(what.as_bytes());
    if !process.group.is_empty() {
        info.detail.push(b" ");
        info.detail.push(process.group.as_bytes());
    }
    info
}

/// Whether it is no longer the process that beat.
fn changed(evidence: &Evidence<'_>) -> Option<CauseInfo> {
    let (now, learned) = (evidence.now, evidence.learned);
    let wanted = |thread: u32| match evidence.told {
        Some(told) => told == thread,
        None => learned.threads().is_empty() || learned.thread(thread).is_some(),
    };
    // The first thread of a process has the number of the process.
    let leader = now.threads().first().filter(|leader| has_ended(leader));
    if let Some(leader) = leader.filter(|leader| wanted(leader.thread)) {
        let mut info = certain(Cause::LeaderExited);
        info.why.thread = leader.thread;
        return Some(info);
    }
    let executables = learned.executable.zip(now.process.executable);
    if executables.is_some_and(|(before, now)| before != now) {
        let mut info = certain(Cause::Exec);
        info.detail = Text::from_bytes(now.process.name.as_bytes());
        return Some(info);
    }
    let is_gone = |thread: &u32| now.thread(*thread).is_none_or(has_ended);
    let told = evidence.told.filter(is_gone);
    let mut known = learned.threads().iter().map(|learned| learned.thread);
    let gone = match evidence.told {
        Some(_) => told,
        None => known.find(is_gone),
    }?;
    let mut info = certain(Cause::ThreadGone);
    info.why.thread = gone;
    info.why.certainty = if told.is_some() { Certainty::Certain } else { Certainty::Likely };
    Some(info)
}

/// What only the CPU clock of the process tells.
fn by_clock(evidence: &Evidence<'_>) -> CauseInfo {
    let at = |sample: &Sample| sample.process.clock_ns;
    let Some((before, now)) = evidence.before.and_then(at).zip(at(evidence.now)) else {
        return CauseInfo::UNKNOWN;
    };
    let (run_ns, window_ns) = (now.saturating_sub(before), evidence.window_ns());
    let mut info = CauseInfo { run_ns, window_ns, ..CauseInfo::UNKNOWN };
    if run_ns >= window_ns / 2 {
        info.why.cause = Cause::Busy;
    }
    info
}

fn of_thread(evidence: &Evidence<'_>, now: &ThreadReading, verdict: &Verdict) -> CauseInfo {
    let mut verdict = *verdict;
    let throttle = throttling(evidence, now);
    let mut info = CauseInfo::UNKNOWN;
    if let Some((times, periods)) = throttle {
        let unknown = evidence.of_a_beat(now.thread).is_none();
        let hardly = verdict.moved.wait_ns > verdict.moved.run_ns.saturating_mul(2);
        if verdict.cause == Cause::Starved {
            (verdict.cause, verdict.percent) = (Cause::Throttled, 90);
        } else if verdict.cause == Cause::Busy && hardly && unknown {
            (verdict.cause, verdict.percent) = (Cause::Throttled, 60);
        }
        if verdict.cause == Cause::Throttled {
            // Writing to a text does not fail.
            let _ = write!(info.detail, "quota {times} of {periods} periods");
        }
    }
    if info.detail.is_empty() {
        info.detail = waits_in(now);
    }
    info.why = Why {
        cause: verdict.cause,
        certainty: match verdict.percent {
            95.. => Certainty::Certain,
            70.. => Certainty::Likely,
            _ => Certainty::Guess,
        },
        flags: verdict.flags,
        thread: now.thread,
        other: if verdict.cause == Cause::Traced {
            evidence.now.process.tracer
        } else {
            verdict.other
        },
    };
    info.signal = if verdict.cause == Cause::Stopped { now.stop_signal } else { 0 };
    info.window_ns = verdict.moved.window_ns;
    info.run_ns = verdict.moved.run_ns;
    info.wait_ns = verdict.moved.wait_ns;
    info.switches = u32::try_from(verdict.moved.slices).unwrap_or(u32::MAX);
    info.major_faults = u32::try_from(verdict.moved.major_faults).unwrap_or(u32::MAX);
    info
}

/// The kernel function and the call in which a thread is.
fn waits_in(thread: &ThreadReading) -> Text<64> {
    let mut text = Text::from_bytes(thread.wait_channel.as_bytes());
    if let Call::In { name, number, .. } = thread.call {
        if !text.is_empty() {
            text.push(b" ");
        }
        // Writing to a text does not fail.
        let _ = match name {
            "" => write!(text, "call {number}"),
            name => text.write_str(name),
        };
    }
    text
}

/// How often a quota ended the time of the process, and of how many periods, if it did.
fn throttling(evidence: &Evidence<'_>, thread: &ThreadReading) -> Option<(u64, u64)> {
    let before = evidence.before?.process.quotas;
    let now = evidence.now.process.quotas;
    let pairs = now.as_slice().iter().filter_map(|now| {
        let same = before.as_slice().iter().find(|before| before.group == now.group);
        same.map(|before| (before, now))
    });
    let counted = pairs.filter_map(|(before, now)| {
        let times = now.throttled.saturating_sub(before.throttled);
        let periods = now.periods.saturating_sub(before.periods);
        // A long period may have begun and ended outside of the window.
        let is_long = now.throttled > 0 || now.period_ns > evidence.window_ns() / 2;
        let all_along = periods == 0 && is_long && thread.state == b'R';
        (times > 0 || all_along).then_some((times, periods))
    });
    counted.max()
}
