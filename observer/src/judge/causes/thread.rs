//! Why one thread does not go on.

use super::reading::{Call, Lacks, ThreadReading};
use super::tables::{self, is_event_wait};
use crate::cause::{Cause, CauseFlags};

/// `stat` flags: the thread is ending, and it reclaims memory.
pub(super) const EXITING: u32 = 4;
const RECLAIMS: u32 = 0x800;

/// A thread that runs for longer than this and than three beats take does not lack the CPU.
const LEAST_BUSY_NS: u64 = 1_000_000;
const BUSY_BEATS: u64 = 3;

/// Whether a thread that ran for so long does not lack the CPU, if it takes `beat` for a beat.
pub(super) fn ran_enough(run_ns: u64, beat: u64) -> bool {
    run_ns > beat.saturating_mul(BUSY_BEATS).max(LEAST_BUSY_NS)
}

/// From this many major faults in a second on, a thread is slow because of them.
const MANY_FAULTS: u64 = 200;

/// A thread that wakes up this often in a second is awake.
const AWAKE: u64 = 20;

/// A thread that begins to run this often in a second, or this much more often than beats
/// take and for so short a time, gives up the CPU by itself: it yields.
const YIELDS: u64 = 500;
const YIELDS_AT_LEAST: u64 = 6;
const YIELDS_AFTER_NS: u64 = 20_000;

/// A verdict on one thread, with how likely it is, in percent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) cause: Cause,
    pub(super) percent: u8,
    pub(super) flags: CauseFlags,
    /// The thread for which it waits.
    pub(super) other: u32,
    pub(super) moved: Moved,
}

/// What a thread did between two readings.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    pub(super) window_ns: u64,
    pub(super) run_ns: u64,
    pub(super) wait_ns: u64,
    pub(super) slices: u64,
    pub(super) major_faults: u64,
}

impl Moved {
    pub(super) fn between(before: &ThreadReading, now: &ThreadReading) -> Self {
        let window_ns = now.read_at.saturating_sub(before.read_at);
        let run_ns = now.run_ns.saturating_sub(before.run_ns);
        let slices = now.slices.saturating_sub(before.slices);
        let mut wait_ns = now.wait_ns.saturating_sub(before.wait_ns);
        // The kernel adds the time that a thread waits for the CPU when that ends.
        if now.state == b'R' && slices == 0 && (before.state == b'R' || run_ns < window_ns / 10)
        {
            wait_ns = wait_ns.max(window_ns.saturating_sub(run_ns));
        }
        Self {
            window_ns,
            run_ns,
            wait_ns: wait_ns.min(window_ns),
            slices,
            major_faults: now.major_faults.saturating_sub(before.major_faults),
        }
    }

    /// How often this happened in a second.
    const fn per_second(&self, count: u64) -> u64 {
        match self.window_ns {
            0 => 0,
            window_ns => count.saturating_mul(1_000_000_000) / window_ns,
        }
    }

    /// How long it wanted to run.
    pub(super) const fn demand_ns(&self) -> u64 {
        self.run_ns.saturating_add(self.wait_ns)
    }

    /// Whether it wanted to run at least this part of the time.
    const fn wants(&self, percent: u64) -> bool {
        self.demand_ns().saturating_mul(100) >= self.window_ns.saturating_mul(percent)
    }
}

/// What is known besides the readings of the thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around {
    /// The CPU time that the thread takes for a beat, if it is known.
    pub(super) per_beat_ns: Option<u64>,
    /// How often the thread begins to run for a beat, if it is known.
    pub(super) slices_per_beat: Option<u64>,
    /// Whether the system lacks memory.
    pub(super) memory_pressure: bool,
    pub(super) lacks: Lacks,
}

/// Decides about a thread. Without an earlier reading only what it is in now is known.
pub(super) fn judge(
    before: Option<&ThreadReading>,
    now: &ThreadReading,
    around: Around,
) -> Verdict {
    let moved = before.map(|before| Moved::between(before, now));
    let (cause, percent) = by_state(now)
        .or_else(|| moved.and_then(|moved| by_movement(&moved, before, now, around)))
        .unwrap_or_else(|| by_wait(now, moved.as_ref(), around));
    let flags = match is_event_wait(now) {
        true if now.state == b'S' => CauseFlags::IN_EVENT_WAIT,
        _ => CauseFlags::default(),
    };
    let other = if cause == Cause::Waiting { joined_thread(now) } else { 0 };
    Verdict { cause, percent, flags, other, moved: moved.unwrap_or_default() }
}

/// The states that say it all.
fn by_state(now: &ThreadReading) -> Option<(Cause, u8)> {
    match now.state {
        b'T' => Some((Cause::Stopped, 99)),
        b't' => Some((Cause::Traced, 99)),
        b'S' if tables::is_frozen(&now.wait_channel) => Some((Cause::Frozen, 90)),
        _ => None,
    }
}

/// Whether it runs, or wants to.
fn by_movement(
    moved: &Moved,
    before: Option<&ThreadReading>,
    now: &ThreadReading,
    around: Around,
) -> Option<(Cause, u8)> {
    let reclaims = now.flags & RECLAIMS != 0;
    if moved.per_second(moved.major_faults) >= MANY_FAULTS {
        return Some((Cause::Memory, if around.memory_pressure || reclaims { 80 } else { 65 }));
    }
    let reclaimed = before.is_some_and(|before| before.flags & RECLAIMS != 0);
    if reclaims && reclaimed && around.memory_pressure {
        return Some((Cause::Memory, 75));
    }
    let often = moved.per_second(moved.slices);
    let had_enough = around.per_beat_ns.is_some_and(|beat| ran_enough(moved.run_ns, beat));
    if moved.wants(60) {
        let busy = moved.run_ns >= moved.demand_ns() / 2
            || had_enough
            || often >= YIELDS
            || around.slices_per_beat.is_some_and(|beat| yields(moved, beat));
        return Some(if busy { (Cause::Busy, 85) } else { (Cause::Starved, 80) });
    }
    if moved.run_ns >= moved.window_ns / 2 {
        return Some((Cause::Busy, 80));
    }
    let turns = moved.slices >= 3 && often >= AWAKE;
    if turns && (!moved.wants(40) || now.state == b'S') {
        return Some((Cause::Awake, 75));
    }
    if now.state == b'R' {
        // One that sleeps again and again has got what it wanted.
        let starved = moved.wait_ns > moved.run_ns && !turns;
        let cause = match starved {
            true if had_enough => Cause::Busy,
            true => Cause::Starved,
            false => Cause::Awake,
        };
        return Some((cause, 50));
    }
    None
}

/// Whether a thread gave up the CPU far more often than it does for a beat, after very short
/// times. One that lacks the CPU makes the most of it.
const fn yields(moved: &Moved, slices_per_beat: u64) -> bool {
    moved.slices >= YIELDS_AT_LEAST
        && moved.slices > slices_per_beat.saturating_mul(BUSY_BEATS)
        && moved.run_ns < moved.slices.saturating_mul(YIELDS_AFTER_NS)
}

/// What it waits for.
fn by_wait(now: &ThreadReading, moved: Option<&Moved>, around: Around) -> (Cause, u8) {
    let channel = &now.wait_channel;
    let call = match now.call {
        Call::In { name, .. } => name,
        _ => "",
    };
    match now.state {
        b'D' => {
            if tables::is_new_child(channel, call) {
                return (Cause::Child, 85);
            }
            // Outside of any call it is in a page fault.
            let in_call = matches!(now.call, Call::In { .. });
            let memory =
                tables::is_memory_group(channel) || !in_call && tables::is_memory(channel);
            return match memory {
                true => (Cause::Memory, 80),
                false => (Cause::Io, if channel.is_empty() { 60 } else { 80 }),
            };
        }
        b'I' => return (Cause::Io, 30),
        b'S' => {}
        _ => return (Cause::Unknown, 0),
    }
    if let Call::In { name: "futex", arguments, .. } = now.call {
        return by_futex(arguments);
    }
    if tables::is_file_lock(channel, call) {
        return (Cause::Lock, 95);
    }
    if tables::is_semaphore(channel, call) {
        return (Cause::Lock, 75);
    }
    if tables::is_user_fault(channel) {
        return (Cause::Memory, 90);
    }
    if tables::is_io(channel) {
        return (Cause::Io, 80);
    }
    if tables::is_child_wait(channel, call) {
        return (Cause::Child, 90);
    }
    if tables::is_new_child(channel, call) {
        return (Cause::Child, 85);
    }
    if tables::is_priority_lock(channel) {
        return (Cause::Lock, 90);
    }
    if channel.starts_with("futex") {
        return (Cause::Waiting, 50);
    }
    let blind = channel.is_empty() && call.is_empty();
    if blind && (around.lacks.has(Lacks::WAIT_CHANNEL) || now.call == Call::Unknown) {
        let still = moved.is_some_and(|moved| moved.slices == 0);
        return (Cause::Asleep, if still { 96 } else { 60 });
    }
    (Cause::Idle, 60)
}

/// The operation of a futex, without its flags, and these flags.
const OPERATION: u64 = 0x7f;
const PRIVATE: u64 = 0x80;
const WAIT: u64 = 0;
const LOCK_PI: u64 = 6;
const WAIT_BITSET: u64 = 9;
const LOCK_PI2: u64 = 13;

/// The values with which a lock is waited for: a mutex of glibc, Rust and others that is
/// contended, and a read-write lock of Rust that a writer holds.
const CONTENDED: u64 = 2;
const WRITE_LOCKED: u64 = 0x7fff_ffff;

fn by_futex([_, operation, value, timeout]: [u64; 4]) -> (Cause, u8) {
    let value = value & 0xffff_ffff;
    match operation & OPERATION {
        LOCK_PI | LOCK_PI2 => (Cause::Lock, 97),
        WAIT | WAIT_BITSET if value == CONTENDED && timeout == 0 => (Cause::Lock, 90),
        WAIT | WAIT_BITSET if value == WRITE_LOCKED && timeout == 0 => (Cause::Lock, 80),
        _ => (Cause::Waiting, 70),
    }
}

/// The address of the lock for which a thread waits.
pub(super) fn lock_address(now: &ThreadReading) -> Option<u64> {
    match now.call {
        Call::In { name: "futex", arguments, .. } => {
            (by_futex(arguments).0 == Cause::Lock).then_some(arguments[0])
        }
        _ => None,
    }
}

/// The thread for whose end glibc waits, as the process numbers it.
fn joined_thread(now: &ThreadReading) -> u32 {
    let Call::In { name: "futex", arguments: [_, operation, value, 0], .. } = now.call else {
        return 0;
    };
    let joins = operation & OPERATION == WAIT_BITSET && operation & PRIVATE == 0 && value > 2;
    if joins { u32::try_from(value & 0xffff_ffff).unwrap_or(0) } else { 0 }
}
