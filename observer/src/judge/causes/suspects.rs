//! Which of the threads of a process hang.

use super::classify::Evidence;
use super::reading::ThreadReading;
use super::thread::{Moved, Verdict, ran_enough};
use crate::cause::Cause;

/// In what they wait is read of at most this many threads.
pub(super) const MOST_SUSPECTS: usize = 8;

/// How it is known that these threads are the suspects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The process told it.
    Told,
    /// They ran between beats.
    Learned,
    /// It is not known.
    Guessed,
}

/// Threads of a sample, by their places in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspects {
    places: [u8; MOST_SUSPECTS],
    count: u8,
    known: Known,
}

impl Suspects {
    fn new(known: Known, places: impl Iterator<Item = usize>) -> Self {
        let mut suspects = Self { places: [0; MOST_SUSPECTS], count: 0, known };
        for (free, place) in suspects.places.iter_mut().zip(places) {
            *free = u8::try_from(place).unwrap_or(u8::MAX);
            suspects.count += 1;
        }
        suspects
    }

    /// Leaves only those at some places.
    pub(super) fn only(&self, is_left: impl Fn(usize) -> bool) -> Self {
        Self::new(self.known, self.places().filter(|place| is_left(*place)))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their places in the sample.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        self.places.into_iter().take(self.count.into()).map(usize::from)
    }

    /// The thread that explains the silence best, and why it hangs.
    pub(super) fn choose<'a>(
        &self,
        evidence: &Evidence<'a>,
    ) -> Option<(&'a ThreadReading, Verdict)> {
        let threads = evidence.now.threads();
        let leader = threads.first().map(|leader| leader.thread);
        let judged = self.places().filter_map(|place| {
            let thread = threads.get(place)?;
            let mut verdict = evidence.judge(thread);
            if self.known != Known::Told && self.count > 1 && goes_on_turning(&verdict) {
                verdict.percent = verdict.percent.saturating_sub(30);
            }
            Some((thread, verdict))
        });
        match self.known {
            Known::Told => judged.min_by_key(by_certainty),
            Known::Learned => {
                let best = judged.min_by_key(by_certainty)?;
                // Some runtimes go on in other threads.
                let spins = if best.1.cause == Cause::Idle { new_work(evidence) } else { None };
                Some(spins.unwrap_or(best))
            }
            Known::Guessed => {
                let guessed =
                    judged.map(|(thread, verdict)| guess_at(evidence, thread, verdict));
                let (thread, mut verdict, _) =
                    guessed.min_by_key(|(thread, verdict, goes_on)| {
                        // The first thread comes first if it hangs for a reason that means
                        // something, and those come last that go on as ever.
                        let first = Some(thread.thread) == leader
                            && means_something(verdict.cause)
                            && !goes_on;
                        (*goes_on, !first, rank(verdict.cause), 100 - verdict.percent)
                    })?;
                if threads.len() > 1 && rank(verdict.cause) > 0 {
                    verdict.percent = verdict.percent.min(MOST_OF_A_GUESS);
                }
                Some((thread, verdict))
            }
        }
    }
}

fn by_certainty((_, verdict): &(&ThreadReading, Verdict)) -> (u8, u8) {
    (100 - verdict.percent, rank(verdict.cause))
}

/// The thread that does most of what the process did not do while it beat, if that keeps it busy.
fn new_work<'a>(evidence: &Evidence<'a>) -> Option<(&'a ThreadReading, Verdict)> {
    let new = |thread: &'a ThreadReading| {
        let mut verdict = evidence.judge(thread);
        let Moved { run_ns, window_ns, .. } = verdict.moved;
        let average = evidence.average(thread.thread)?;
        (verdict.cause, verdict.percent) = (Cause::Busy, MOST_OF_A_GUESS);
        let is_new =
            ran_enough(run_ns, average.run_ns) && average.is_exceeded(run_ns, window_ns);
        is_new.then_some((thread, verdict))
    };
    let threads = || evidence.now.threads().iter().filter_map(new);
    let wanted: u64 = threads().map(|(_, verdict)| verdict.moved.demand_ns()).sum();
    let most = threads().max_by_key(|(_, verdict)| verdict.moved.run_ns)?;
    (wanted >= most.1.moved.window_ns / 10 * 6).then_some(most)
}

/// The most that is sure, in percent, about one of several threads if it is not known which of
/// them beats.
const MOST_OF_A_GUESS: u8 = 60;

/// What a thread may be that lacks the CPU or turns, if it is not known whether it beats. On a
/// busy machine the healthy threads of a process look as if they lacked the CPU. But one that
/// ran for as long as a beat takes on average would have beaten, so it is not the one that fell
/// silent, unless it does more than ever before. Returns whether it goes on as ever too.
fn guess_at<'a>(
    evidence: &Evidence<'_>,
    thread: &'a ThreadReading,
    mut verdict: Verdict,
) -> (&'a ThreadReading, Verdict, bool) {
    if !matches!(verdict.cause, Cause::Starved | Cause::Awake) {
        return (thread, verdict, false);
    }
    let Moved { run_ns, slices, window_ns, .. } = verdict.moved;
    let Some(average) = evidence.average(thread.thread) else {
        return (thread, verdict, false);
    };
    if slices < 2 || run_ns < average.run_ns {
        return (thread, verdict, false);
    }
    let goes_on = average.goes_on(run_ns, slices, window_ns);
    let is_busy = never_sleeps(&verdict.moved) && ran_enough(run_ns, average.run_ns);
    if verdict.cause == Cause::Starved && is_busy && !goes_on {
        verdict.cause = Cause::Busy;
    }
    (thread, verdict, goes_on)
}

/// A thread that goes on may be one of those that do other work.
fn goes_on_turning(verdict: &Verdict) -> bool {
    let quiet = matches!(verdict.cause, Cause::Awake | Cause::Idle | Cause::Waiting);
    quiet && verdict.moved.slices > 2
}

/// The order in which causes explain a silence if it is not known which thread beats.
const fn rank(cause: Cause) -> u8 {
    match cause {
        Cause::Stopped | Cause::Traced | Cause::Frozen => 0,
        Cause::Lock => 1,
        Cause::Io => 2,
        Cause::Memory => 3,
        Cause::Busy => 4,
        Cause::Child => 5,
        Cause::Starved => 6,
        Cause::Awake => 7,
        Cause::Waiting => 8,
        Cause::Idle => 9,
        Cause::Asleep => 10,
        _ => 11,
    }
}

const fn means_something(cause: Cause) -> bool {
    rank(cause) <= rank(Cause::Starved)
}

/// The threads to look at more closely.
pub(super) fn find_suspects(evidence: &Evidence<'_>) -> Suspects {
    let threads = evidence.now.threads();
    let place = |thread: u32| threads.iter().position(|found| found.thread == thread);
    if let Some(told) = evidence.told {
        return Suspects::new(Known::Told, place(told).into_iter());
    }
    let learned = evidence.learned.threads();
    if learned.is_empty() {
        return guess(evidence);
    }
    let known = || learned.iter().filter_map(|learned| place(learned.thread));
    let moved = |place: usize| {
        let now = threads.get(place)?;
        let before = evidence.before(now.thread)?;
        Some((now, Moved::between(before, now)))
    };
    let goes_on = |place: usize| {
        let Some((now, moved)) = moved(place) else { return false };
        evidence
            .learned
            .thread(now.thread)
            .is_some_and(|learned| learned.goes_on(moved.run_ns, moved.slices, moved.window_ns))
    };
    // One that uses the CPU as never before is the one: a runtime may let the others sleep.
    let spins = |place: &usize| {
        let Some((now, moved)) = moved(*place) else { return false };
        let learned = evidence.learned.thread(now.thread);
        now.state == b'R'
            && moved.run_ns >= moved.window_ns / 2
            && learned.is_some_and(|it| it.runs_as_never_before(moved.run_ns, moved.window_ns))
    };
    // Or one that ran between any two beats and now sleeps on.
    let asleep = |place: &usize| {
        moved(*place).is_some_and(|(now, moved)| {
            moved.slices == 0 && matches!(now.state, b'S' | b'D' | b'T' | b't' | b'I')
        })
    };
    // Or one that never sleeps any more.
    let awake = |place: &usize| {
        moved(*place).is_some_and(|(now, moved)| now.state == b'R' && never_sleeps(&moved))
            && !goes_on(*place)
    };
    let changed = |place: &usize| !goes_on(*place);
    let all = Suspects::new(Known::Learned, known());
    if all.count < 2 || evidence.before.is_none() {
        return all;
    }
    let kinds: [&dyn Fn(&usize) -> bool; 4] = [&spins, &asleep, &awake, &changed];
    let found =
        kinds.into_iter().map(|kind| Suspects::new(Known::Learned, known().filter(kind)));
    found.into_iter().find(|found| found.count > 0).unwrap_or_else(|| guess(evidence))
}

/// Whether a thread wanted to run all the time.
const fn never_sleeps(moved: &Moved) -> bool {
    moved.demand_ns() >= moved.window_ns / 10 * 9
}

/// The first thread and those that seem to hang most, before it is known in what they wait.
fn guess(evidence: &Evidence<'_>) -> Suspects {
    let threads = evidence.now.threads();
    let mut ranked = [(u8::MAX, 0); super::reading::MOST_THREADS];
    let mut count = 0;
    for (place, (free, thread)) in ranked.iter_mut().zip(threads).enumerate() {
        let (_, verdict, goes_on) = guess_at(evidence, thread, evidence.judge(thread));
        *free = match place {
            0 => (0, place),
            _ if goes_on => (u8::MAX, place),
            _ => (1 + rank(verdict.cause), place),
        };
        count += 1;
    }
    let ranked = ranked.get_mut(..count).unwrap_or_default();
    ranked.sort_unstable();
    Suspects::new(Known::Guessed, ranked.iter().map(|(_, place)| *place))
}
