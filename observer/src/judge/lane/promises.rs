//! What a task has promised, and which of its promises are broken, as far as its line shows.

use varta::internal::lane::layout::NEVER;
use varta::{Promise, Status};

use super::lines::Call;

/// No promise is due. A time of 0 is never a time of a promise.
const NOTHING: u64 = 0;

/// The promises of a task since its last call. All times are on the clock of its process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promises {
    /// The last call.
    pub(super) call: Call,
    /// When each promise is or was due, as far as is known.
    dues: [u64; 4],
    /// The promises that the process itself found broken in its last call.
    broken: u8,
    /// The promises for which a Stall was reported and that have not been kept since.
    stalled: u8,
    /// The checkpoint where the task was seen last, and the label of the span that was due.
    checkpoint: u16,
    label: u16,
    /// By how much a pause extends what is due, once per silence; 0 if none has.
    pub(super) pardon_ns: u64,
}

/// A promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) promise: Promise,
    pub(super) due: u64,
    pub(super) checkpoint: u16,
    /// Whether the process itself found it broken, so that a thread was there to do so.
    pub(super) found_by_task: bool,
}

impl Promises {
    /// After the first call that was seen.
    pub(super) fn new(call: Call, threshold_ns: u64) -> Self {
        let mut promises = Self {
            call,
            dues: [NOTHING; 4],
            broken: 0,
            stalled: 0,
            checkpoint: 0,
            label: 0,
            pardon_ns: 0,
        };
        promises.renew(call, threshold_ns).for_each(drop);
        promises
    }

    /// Records a call. Returns the promises that had been reported as broken and are now kept,
    /// each with the time from when it was due to this call.
    pub(super) fn renew(
        &mut self,
        call: Call,
        threshold_ns: u64,
    ) -> impl Iterator<Item = (Promise, u64)> + use<> {
        let before = *self;
        // To beat is to make any call.
        self.broken = call.info.broken & !Promise::Beat.bit();
        self.stalled &= self.broken;
        self.call = call;
        self.pardon_ns = 0;
        for promise in Promise::ALL {
            let due = self.due_after(promise, call, threshold_ns, before.due(promise));
            if let Some(place) = self.dues.get_mut(promise as usize - 1) {
                *place = due;
            }
        }
        match call.info.which {
            Some(Promise::Span) => self.label = call.info.checkpoint,
            _ => self.checkpoint = call.info.checkpoint,
        }
        if self.due(Promise::Span) == NOTHING {
            self.label = 0;
        }
        let kept = before.stalled & !self.stalled;
        Promise::ALL
            .into_iter()
            .filter(move |promise| kept & promise.bit() != 0)
            .map(move |promise| (promise, call.at.saturating_sub(before.due(promise))))
    }

    fn due_after(&self, promise: Promise, call: Call, threshold_ns: u64, before: u64) -> u64 {
        if self.broken & promise.bit() != 0 {
            // If the time when it was due was never seen, it was due at this call at the
            // latest.
            return if before != NOTHING && before <= call.at { before } else { call.at };
        }
        if call.info.which == Some(promise) && call.until != NEVER {
            return call.until.max(1);
        }
        let beats = promise == Promise::Beat && !call.info.idle && threshold_ns != NEVER;
        if beats { call.at.saturating_add(threshold_ns) } else { NOTHING }
    }

    /// The time at which the next promise counts as broken that has not been reported yet.
    pub(super) fn next(&self, slack_ns: u64) -> Option<u64> {
        self.unreported().map(|promise| self.limit(promise, slack_ns)).min()
    }

    /// The promise that is due next, or that was due first and is broken.
    pub(super) fn first_due(&self) -> Option<(Promise, u64)> {
        let known = Promise::ALL.into_iter().filter(|promise| self.due(*promise) != NOTHING);
        known.map(|promise| (promise, self.due(promise))).min_by_key(|(_, due)| *due)
    }

    /// Takes the promise that was due first of those that count as broken at `now`, so that it
    /// is not reported again.
    pub(super) fn take_broken(&mut self, now: u64, slack_ns: u64) -> Option<Broken> {
        let late = |promise: &Promise| self.limit(*promise, slack_ns) <= now;
        let promise =
            self.unreported().filter(late).min_by_key(|promise| self.due(*promise))?;
        self.stalled |= promise.bit();
        let checkpoint = if promise == Promise::Span { self.label } else { self.checkpoint };
        let found_by_task = self.broken & promise.bit() != 0;
        Some(Broken { promise, due: self.due(promise), checkpoint, found_by_task })
    }

    /// Whether a Stall was reported and the promise has not been kept since.
    pub(super) const fn is_stalled(&self, promise: Promise) -> bool {
        self.stalled & promise.bit() != 0
    }

    /// Whether any promise is in that state.
    pub(super) const fn is_late(&self) -> bool {
        self.stalled != 0
    }

    pub(super) const fn checkpoint(&self) -> u16 {
        self.checkpoint
    }

    pub(super) const fn label(&self) -> u16 {
        self.label
    }

    pub(super) const fn status(&self) -> Status {
        self.call.info.status
    }

    fn unreported(&self) -> impl Iterator<Item = Promise> + use<'_> {
        let open =
            |promise: &Promise| self.due(*promise) != NOTHING && !self.is_stalled(*promise);
        Promise::ALL.into_iter().filter(open)
    }

    /// When a promise counts as broken. A pause gives no time to a call that was made.
    fn limit(&self, promise: Promise, slack_ns: u64) -> u64 {
        let found = self.broken & promise.bit() != 0;
        let pardon_ns = if found { 0 } else { self.pardon_ns };
        self.due(promise).saturating_add(slack_ns).saturating_add(pardon_ns)
    }

    fn due(&self, promise: Promise) -> u64 {
        self.dues.get(promise as usize - 1).copied().unwrap_or(NOTHING)
    }
}

#[cfg(test)]
mod tests {
    use varta::internal::lane::layout::Info;

    use super::*;

    fn call(at: u64, until: u64, which: Promise, broken: &[Promise]) -> Call {
        let broken = broken.iter().fold(0, |set, promise| set | promise.bit());
        let info = Info {
            status: Status::Ok,
            which: Some(which),
            idle: false,
            broken,
            checkpoint: 7,
            payload: 0,
        };
        Call { at, until, info }
    }

    fn kept(promises: &mut Promises, call: Call) -> Vec<(Promise, u64)> {
        promises.renew(call, 2_000).collect()
    }

    fn broken(promises: &mut Promises, now: u64) -> Vec<(Promise, u64)> {
        let all = std::iter::from_fn(|| promises.take_broken(now, 0));
        all.map(|broken| (broken.promise, broken.due)).collect()
    }

    #[test]
    fn a_silent_task_breaks_its_span_and_then_its_threshold() {
        let mut promises = Promises::new(call(100, 300, Promise::Span, &[]), 2_000);
        assert_eq!(promises.next(0), Some(300));
        assert_eq!(broken(&mut promises, 299), []);
        assert_eq!(broken(&mut promises, 300), [(Promise::Span, 300)]);
        assert_eq!(promises.next(50), Some(2_150));
        assert_eq!(broken(&mut promises, 5_000), [(Promise::Beat, 2_100)]);
        assert_eq!(promises.next(0), None);
        // A call that does not close the span keeps only the threshold.
        let beat = call(6_000, 8_000, Promise::Beat, &[Promise::Span]);
        assert_eq!(kept(&mut promises, beat), [(Promise::Beat, 3_900)]);
        assert_eq!(promises.next(0), Some(8_000));
        let closed = call(6_500, 8_500, Promise::Beat, &[]);
        assert_eq!(kept(&mut promises, closed), [(Promise::Span, 6_200)]);
        assert!(!promises.is_late());
    }

    #[test]
    fn a_promise_that_was_broken_between_two_looks_was_due_at_the_call_at_the_latest() {
        let mut promises = Promises::new(call(100, 2_100, Promise::Beat, &[]), 2_000);
        assert_eq!(
            kept(&mut promises, call(900, 1_500, Promise::Progress, &[Promise::Span])),
            []
        );
        assert_eq!(promises.next(0), Some(900));
        let first = promises.take_broken(2_900, 0).unwrap();
        assert_eq!((first.due, first.checkpoint, first.found_by_task), (900, 0, true));
        let second = promises.take_broken(2_900, 0).unwrap();
        assert_eq!(
            (second.promise, second.due, second.checkpoint),
            (Promise::Progress, 1_500, 7)
        );
        assert_eq!(broken(&mut promises, 2_900), [(Promise::Beat, 2_900)]);
    }

    #[test]
    fn nothing_is_due_of_an_idle_task_but_its_own_limit() {
        let mut idle = call(100, NEVER, Promise::Beat, &[]);
        idle.info.idle = true;
        let mut promises = Promises::new(idle, 2_000);
        assert_eq!(promises.next(0), None);
        idle.until = 700;
        assert_eq!(kept(&mut promises, idle), []);
        assert_eq!(promises.first_due(), Some((Promise::Beat, 700)));
    }

    #[test]
    fn a_pause_extends_what_is_due_but_not_what_the_task_itself_found_broken() {
        let mut promises =
            Promises::new(call(100, 300, Promise::Progress, &[Promise::Span]), 2_000);
        promises.pardon_ns = 1_000;
        assert_eq!(promises.next(0), Some(100));
        assert_eq!(broken(&mut promises, 1_299), [(Promise::Span, 100)]);
        assert_eq!(broken(&mut promises, 1_300), [(Promise::Progress, 300)]);
        promises.renew(call(400, 2_400, Promise::Beat, &[]), 2_000).for_each(drop);
        assert_eq!(promises.next(0), Some(2_400), "once per silence");
    }
}
