//! Learning, from an agent that beats, which of its threads take part in that.

use super::reading::{MOST_THREADS, Sample, ThreadReading};

/// At most this many threads are remembered of an agent.
pub(super) const MOST_LEARNED: usize = 16;

/// Between this many looks of an agent that beats is learned.
const INTERVALS: usize = 7;

/// Two looks are at least this far apart.
pub(super) const APART_NS: u64 = 9_000_000;

/// An average over fewer beats than this says nothing.
const LEAST_BEATS: u64 = 8;

/// What is known of an agent from when it beat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learned {
    pub(super) executable: Option<(u64, u64)>,
    threads: [LearnedThread; MOST_LEARNED],
    count: u8,
    /// Whether the threads are known.
    pub(super) done: bool,
    /// How often it has beaten; 0 if that is not known.
    pub(super) beats: u64,
    /// The mean time between two beats.
    pub(super) interval_ns: u64,
}

/// A thread that runs between two beats.
#[derive(Debug, Clone, Copy)]
pub(super) struct LearnedThread {
    pub(super) thread: u32,
    /// The CPU time that it takes for a beat.
    pub(super) per_beat_ns: u32,
    /// How often it begins to run for a beat.
    pub(super) slices_per_beat: u16,
    /// The share of the time that it runs, in millionths.
    share: u32,
    /// How often it begins to run in 1,000 seconds.
    rate: u32,
}

impl Learned {
    pub(super) const NOTHING: Self = Self {
        executable: None,
        threads: [LearnedThread {
            thread: 0,
            per_beat_ns: 0,
            slices_per_beat: 0,
            share: 0,
            rate: 0,
        }; MOST_LEARNED],
        count: 0,
        done: false,
        beats: 0,
        interval_ns: 0,
    };

    /// The threads that run between beats; one of them makes the beats. Empty if they are not
    /// known, or too many.
    pub(super) fn threads(&self) -> &[LearnedThread] {
        self.threads.get(..self.count.into()).unwrap_or_default()
    }

    pub(super) fn thread(&self, thread: u32) -> Option<&LearnedThread> {
        self.threads().iter().find(|learned| learned.thread == thread)
    }

    /// What a thread did for each beat on average until a reading, as far as nothing better is
    /// known. Of what it had done then, as much as it did between that reading and this one may
    /// belong to the silence already. It is too much if the thread is older than the agent.
    pub(super) fn average(&self, then: &ThreadReading, now: &ThreadReading) -> Option<Average> {
        let until = |then: u64, now: u64| then.saturating_sub(now.saturating_sub(then));
        (self.beats >= LEAST_BEATS).then(|| Average {
            run_ns: until(then.run_ns, now.run_ns) / self.beats,
            slices: until(then.slices, now.slices) / self.beats,
            interval_ns: self.interval_ns,
        })
    }
}

/// What a thread does in the time of one beat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Average {
    pub(super) run_ns: u64,
    pub(super) slices: u64,
    interval_ns: u64,
}

impl Average {
    /// Whether a thread that ran for `run_ns` in `slices` slices has not done more than ever. Two
    /// and a half times as much is not yet more.
    pub(super) const fn goes_on(&self, run_ns: u64, slices: u64, window_ns: u64) -> bool {
        let beats = self.beats_in(window_ns);
        run_ns.saturating_mul(2) <= self.run_ns.saturating_mul(beats * 5)
            && slices.saturating_mul(2) <= (self.slices + 1).saturating_mul(beats * 5)
    }

    /// Whether a thread that ran for `run_ns` did so far more than ever.
    pub(super) const fn is_exceeded(&self, run_ns: u64, window_ns: u64) -> bool {
        run_ns > self.run_ns.saturating_mul(self.beats_in(window_ns) * 5)
    }

    const fn beats_in(&self, window_ns: u64) -> u64 {
        window_ns.div_ceil(if self.interval_ns > 0 { self.interval_ns } else { 1 })
    }
}

impl LearnedThread {
    /// Whether a thread that ran for `run_ns` did so far more than before.
    pub(super) fn runs_as_never_before(&self, run_ns: u64, window_ns: u64) -> bool {
        let share = run_ns.saturating_mul(1_000_000) / window_ns.max(1);
        share > u64::from(self.share).saturating_mul(5)
    }

    /// Whether a thread that ran for `run_ns` in `slices` slices goes on as it did before.
    pub(super) fn goes_on(&self, run_ns: u64, slices: u64, window_ns: u64) -> bool {
        let share =
            ratio(run_ns.saturating_mul(1_000_000) / window_ns.max(1), self.share.max(1));
        let rate = slices.saturating_mul(1_000_000_000_000) / window_ns.max(1);
        let rate = ratio(rate, self.rate.max(100));
        self.share > 0
            && (400..=2_500).contains(&share)
            && ((300..=3_000).contains(&rate) || share > 700)
    }
}

/// `a / b` in thousandths.
fn ratio(a: u64, b: u32) -> u64 {
    a.saturating_mul(1_000) / u64::from(b)
}

/// The middle one of the first of these values.
fn median<T: Ord + Copy + Default>(mut values: [T; INTERVALS], count: usize) -> T {
    let values = values.get_mut(..count).unwrap_or_default();
    values.sort_unstable();
    values.get(count / 2).copied().unwrap_or_default()
}

/// What is known while an agent is learned.
#[derive(Debug, Clone)]
pub(super) struct Learner {
    first_at: u64,
    last_at: u64,
    /// The agent's number of beats at the last look.
    beats: u64,
    intervals: u8,
    threads: [Learning; MOST_THREADS],
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Learning {
    thread: u32,
    ran_in: u8,
    run_ns: u64,
    slices: u64,
    first_run_ns: u64,
    first_slices: u64,
    costs: [u32; INTERVALS],
    turns: [u16; INTERVALS],
}

impl Learning {
    const NOTHING: Self = Self {
        thread: 0,
        ran_in: 0,
        run_ns: 0,
        slices: 0,
        first_run_ns: 0,
        first_slices: 0,
        costs: [0; INTERVALS],
        turns: [0; INTERVALS],
    };
}

impl Learner {
    pub(super) const NEW: Self = Self {
        first_at: 0,
        last_at: 0,
        beats: 0,
        intervals: 0,
        threads: [Learning::NOTHING; MOST_THREADS],
        count: 0,
    };

    /// Beats until this one had been made at the last look.
    pub(super) const fn had_made(&mut self, beats: u64) {
        self.beats = beats;
    }

    /// Learns from a look at an agent that has beaten this often. Returns true when that was
    /// the last one.
    pub(super) fn look(&mut self, sample: &Sample, beats: u64) -> bool {
        let at = sample.process.read_at;
        let made = beats.saturating_sub(self.beats).max(1);
        self.beats = beats;
        if self.last_at == 0 {
            self.first_at = at;
        }
        let is_first = self.last_at == 0;
        self.last_at = at;
        let interval = usize::from(self.intervals);
        let mut any = false;
        for thread in sample.threads() {
            let known = self.threads.get_mut(..self.count).unwrap_or_default();
            let Some(known) = known.iter_mut().find(|known| known.thread == thread.thread)
            else {
                self.add(thread.thread, thread.run_ns, thread.slices);
                continue;
            };
            let run = thread.run_ns.saturating_sub(known.run_ns);
            let ran = run > 0 || thread.slices > known.slices;
            let slices = thread.slices.saturating_sub(known.slices);
            (known.run_ns, known.slices) = (thread.run_ns, thread.slices);
            if let Some(cost) = known.costs.get_mut(interval) {
                *cost = u32::try_from(run / made).unwrap_or(u32::MAX);
            }
            if let Some(turns) = known.turns.get_mut(interval) {
                *turns = u16::try_from(slices / made).unwrap_or(u16::MAX);
            }
            known.ran_in += u8::from(ran);
            any |= ran;
        }
        // If nothing ran, the beat was made before the last look.
        self.intervals += u8::from(any && !is_first);
        usize::from(self.intervals) == INTERVALS
    }

    fn add(&mut self, thread: u32, run_ns: u64, slices: u64) {
        if let Some(place) = self.threads.get_mut(self.count) {
            *place = Learning {
                thread,
                run_ns,
                slices,
                first_run_ns: run_ns,
                first_slices: slices,
                ..Learning::NOTHING
            };
            self.count += 1;
        }
    }

    /// What was learned so far.
    pub(super) fn result(&self, executable: Option<(u64, u64)>) -> Learned {
        let mut learned = Learned { executable, done: true, ..Learned::NOTHING };
        let elapsed = self.last_at.saturating_sub(self.first_at).max(1);
        let intervals = usize::from(self.intervals);
        for known in self.threads.get(..self.count).unwrap_or_default() {
            if intervals < 3 || usize::from(known.ran_in) * 4 < intervals * 3 {
                continue;
            }
            let per_second = |amount: u64, factor: u64| {
                u32::try_from(amount.saturating_mul(factor) / elapsed).unwrap_or(u32::MAX)
            };
            let Some(place) = learned.threads.get_mut(usize::from(learned.count)) else {
                // With so many, which of them beats is not known.
                learned.count = 0;
                break;
            };
            *place = LearnedThread {
                thread: known.thread,
                per_beat_ns: median(known.costs, intervals),
                slices_per_beat: median(known.turns, intervals),
                share: per_second(known.run_ns - known.first_run_ns, 1_000_000),
                rate: per_second(known.slices - known.first_slices, 1_000_000_000_000),
            };
            learned.count += 1;
        }
        learned
    }
}
