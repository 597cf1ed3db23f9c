//! The promises against the naive reference, with random calls, and single cases.

use std::time::Duration;

use proptest::prelude::*;

use super::reference::{Call, Late, Reference, Terms};
use super::*;
use crate::lane::layout::done_and_left;
use crate::task::{Edge, NEVER};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

fn options(terms: &Terms) -> TaskOptions {
    let mut options = TaskOptions::new(terms.threshold)
        .edges(terms.edges.clone())
        .spans(u32::try_from(terms.spans).unwrap());
    if let Some(grace) = terms.startup {
        options = options.startup(grace);
    }
    if let Some(every) = terms.progress {
        options = options.progress(every);
    }
    if let Some((length, least, most)) = terms.cycle {
        options = options.cycle(length, least..=most);
    }
    options
}

/// When the tasks under test are declared.
const START: Duration = Duration::from_secs(1000);

/// Makes the same calls to both implementations, and compares after each.
#[derive(Debug)]
struct Both {
    promises: Promises,
    reference: Reference,
    ids: Vec<(u16, SpanId)>,
    now: Duration,
    beat: u32,
    progress: (u32, u32),
}

impl Both {
    fn declared(terms: Terms) -> Self {
        let options = options(&terms);
        options.check("a task").unwrap();
        let mut promises = Promises::new(&options).unwrap();
        promises.declare(ns(START));
        let mut both = Self {
            promises,
            reference: Reference::new(terms),
            ids: Vec::new(),
            now: Duration::ZERO,
            beat: 0,
            progress: (0, 0),
        };
        both.compare();
        both
    }

    fn call(&mut self, after: Duration, call: Call) {
        self.now += after;
        let now = ns(START + self.now);
        let before = *self.promises.violations();
        let expected = self.reference.call(self.now, call);
        match call {
            Call::Beat(payload) => {
                self.promises.beat(now, Status::Degraded, payload);
                self.beat = payload;
            }
            Call::Idle(at_most) => self.promises.idle(now, at_most),
            Call::Open { span, min, max } => {
                let limits = SpanLimits::new(max).min(min).label(span);
                let id = self.promises.open(now, limits);
                let watched = self.reference.open_spans().iter().any(|open| open.0 == span);
                assert_eq!(id.is_watched(), watched);
                self.ids.push((span, id));
            }
            Call::Close { span } => {
                let id = self.ids.iter().find(|(label, _)| *label == span);
                self.promises.close(now, id.map_or(SpanId::UNWATCHED, |(_, id)| *id));
            }
            Call::Reach(checkpoint) => self.promises.reach(now, checkpoint),
            Call::Progress(done, left) => {
                self.promises.progress(now, done, left);
                self.progress = (done, left);
            }
        }
        let after = self.promises.violations();
        for rule in Rule::ALL {
            let added = expected.iter().filter(|(of, ..)| *of == rule).count();
            assert_eq!((after.of(rule) - before.of(rule)) as usize, added, "{rule}: {call:?}");
        }
        assert_eq!((after.total() - before.total()) as usize, expected.len());
        if let Some((rule, from, to, by)) = expected.last().copied() {
            assert_eq!(after.last(), Some(Violation { rule, from, to, by }));
        }
        self.compare();
    }

    /// The line must say exactly what is late from now until its `until`, and what is late then.
    fn compare(&mut self) {
        let hot = self.promises.hot();
        let info = Info::from_word(hot.info).unwrap();
        assert_eq!(hot.at, ns(START + self.now));
        assert_eq!((info.payload, done_and_left(hot.last)), (self.beat, self.progress));
        assert_eq!(self.promises.hot(), hot, "asking changes nothing");

        let late = self.reference.late(self.now);
        let bits = |late: &[Late]| late.iter().fold(0, |bits, one| bits | one.promise().bit());
        assert_eq!(info.broken, bits(&late));
        let (just_before, then) = match hot.until {
            layout::NEVER => (self.now + Duration::from_secs(1 << 32), None),
            until => {
                let until = Duration::from_nanos(until) - START;
                assert!(until > self.now);
                (until - Duration::from_nanos(1), Some(until))
            }
        };
        assert_eq!(self.reference.late(just_before), late, "before {then:?}");
        match then {
            None => assert_eq!(info.which, None),
            Some(until) => {
                let mut new = self.reference.late(until);
                new.retain(|one| !late.contains(one));
                // Of several, the first in the order of `Late`.
                let first = new.iter().min().unwrap();
                assert_eq!(info.which, Some(first.promise()));
                if info.which == Some(Promise::Span) {
                    assert!(new.contains(&Late::Span(info.checkpoint)));
                }
            }
        }
        if info.which != Some(Promise::Span) {
            assert_eq!(info.checkpoint, self.reference.place().0);
        }
    }
}

/// Short times on a coarse grid, so that many things happen at the same moment.
fn limit() -> impl Strategy<Value = Duration> {
    prop_oneof![9 => (1..20_u64).prop_map(ms), 1 => Just(NEVER)]
}

fn edges() -> impl Strategy<Value = Vec<Edge>> {
    let max = prop_oneof![3 => (6..20_u64).prop_map(ms), 1 => Just(NEVER)];
    let edge = (0..4_u16, 0..4_u16, 0..6_u64, max).prop_map(|(from, to, min, max)| Edge {
        from,
        to,
        min: ms(min),
        max,
    });
    proptest::collection::vec(edge, 0..8).prop_map(|mut edges| {
        edges.sort_by_key(|edge| (edge.from, edge.to));
        edges.dedup_by_key(|edge| (edge.from, edge.to));
        edges.reverse();
        edges
    })
}

fn terms() -> impl Strategy<Value = Terms> {
    let cycle = (1..10_u64, 0..3_u32, 0..3_u32)
        .prop_map(|(length, least, more)| (ms(length), least, least + more));
    (
        limit(),
        proptest::option::of(limit()),
        proptest::option::of(limit()),
        edges(),
        proptest::option::of(cycle),
        0..6_usize,
    )
        .prop_map(|(threshold, startup, progress, edges, cycle, spans)| Terms {
            threshold,
            startup,
            progress,
            edges,
            cycle,
            spans,
        })
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => any::<u32>().prop_map(Call::Beat),
        2 => limit().prop_map(Call::Idle),
        4 => (0..5_u64, limit()).prop_map(|(min, max)| Call::Open {
            span: 0, // numbered below
            min: ms(min),
            max,
        }),
        4 => any::<u16>().prop_map(|span| Call::Close { span }),
        4 => (0..4_u16).prop_map(Call::Reach),
        3 => (0..3_u32, 0..3_u32).prop_map(|(done, left)| Call::Progress(done, left)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..Default::default() })]
    #[test]
    fn any_calls_give_what_the_reference_gives(
        terms in terms(),
        calls in proptest::collection::vec(
            (prop_oneof![Just(0), Just(1), 0..6_u64, 0..40_u64], call()),
            0..60,
        ),
    ) {
        let mut both = Both::declared(terms);
        let mut opened = 0;
        for (after, call) in calls {
            let call = match call {
                Call::Open { min, max, .. } => {
                    opened += 1;
                    Call::Open { span: opened, min, max }
                }
                // Any of the spans so far, whether it is open or not.
                Call::Close { span } => Call::Close { span: span % (opened + 1) },
                other => other,
            };
            both.call(ms(after), call);
        }
    }
}

fn declared(options: &TaskOptions) -> Promises {
    let mut promises = Promises::new(options).unwrap();
    promises.declare(0);
    promises
}

fn until(promises: &mut Promises) -> (u64, Option<Promise>) {
    let hot = promises.hot();
    (hot.until, Info::from_word(hot.info).unwrap().which)
}

const MS: u64 = 1_000_000;

#[test]
fn idling_for_ten_thresholds_moves_the_end_of_an_open_span() {
    let mut promises = declared(&TaskOptions::new(ms(10)));
    let span = promises.open(0, SpanLimits::new(ms(7)));
    assert_eq!(until(&mut promises), (7 * MS, Some(Promise::Span)));
    promises.idle(2 * MS, NEVER);
    assert_eq!(until(&mut promises), (layout::NEVER, None));
    promises.beat(102 * MS, Status::Ok, 0);
    assert_eq!(until(&mut promises), (107 * MS, Some(Promise::Span)));
    assert!(promises.close(106 * MS, span));
    assert!(!promises.close(106 * MS, span));
    assert_eq!(promises.violations().total(), 0);
}

#[test]
fn ten_thousand_spans_end_in_any_order() {
    let mut promises = declared(&TaskOptions::new(ms(1_000_000)).spans(10_000));
    let mut numbers = proptest::test_runner::TestRng::deterministic_rng(
        proptest::test_runner::RngAlgorithm::ChaCha,
    );
    let mut open = std::collections::BTreeSet::new();
    for step in 0..60_000_u64 {
        let now = step * 10_000;
        let random = numbers.next_u64();
        if step < 10_000 || (random % 2 == 0 && open.len() < 10_000) {
            let max = 100 * MS + random / 2 % (1_000 * MS);
            let id = promises.open(now, SpanLimits::new(Duration::from_nanos(max)));
            assert!(id.is_watched());
            open.insert((now + max, id.to_raw()));
        } else {
            let at = now + random % (1_100 * MS);
            let one = *open.range((at, 0)..).chain(&open).next().unwrap();
            open.remove(&one);
            assert!(promises.close(now, SpanId::from_raw(one.1)));
        }
        let due = open.range((now + 1, 0)..).next().map_or(layout::NEVER, |(due, _)| *due);
        let hot = promises.hot();
        assert_eq!(hot.until, due.min(now + 1_000_000 * MS));
        let late = open.first().is_some_and(|(due, _)| *due <= now);
        let broken = Info::from_word(hot.info).unwrap().broken;
        assert_eq!(broken, if late { Promise::Span.bit() } else { 0 });
    }
    assert!(promises.violations().of(Rule::TooLate) > 0);
}

#[test]
fn a_control_loop_has_a_rhythm() {
    // A step from checkpoint 1 to itself is one turn.
    let turn = Edge::new(1, 1).min(ms(8)).max(ms(12));
    let options =
        TaskOptions::new(ms(100)).edges([Edge::new(0, 1), turn]).cycle(ms(100), 9..=11);
    let mut promises = declared(&options);
    let mut now = 0;
    for after in [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 7, 13, 10] {
        now += after * MS;
        promises.reach(now, 1);
        promises.beat(now, Status::Ok, 0);
    }
    let counted = |promises: &Promises| Rule::ALL.map(|rule| promises.violations().of(rule));
    assert_eq!(counted(&promises), [1, 1, 0, 0, 0]);
    // The loop stops in the second cycle, and the third and fourth are skipped.
    promises.reach(now + 300 * MS, 1);
    assert_eq!(counted(&promises), [1, 2, 0, 2, 0]);
}

#[test]
fn declaring_again_begins_anew() {
    let options = TaskOptions::new(ms(10)).edges([Edge::new(1, 2).max(ms(5))]).spans(1);
    let mut promises = declared(&options);
    promises.reach(0, 1);
    let old = promises.open(0, SpanLimits::new(ms(1)));
    promises.progress(20 * MS, 1, 1);
    promises.idle(30 * MS, NEVER);
    assert_eq!(promises.violations().total(), 1);

    promises.declare(100 * MS);
    assert_eq!(promises.violations(), &Violations::default());
    let info = Info {
        status: Status::Ok,
        which: Some(Promise::Beat),
        idle: false,
        broken: 0,
        checkpoint: 0,
        payload: 0,
    };
    let hot = Hot { at: 100 * MS, until: 110 * MS, info: info.to_word(), last: 0 };
    assert_eq!(promises.hot(), hot);
    let new = promises.open(100 * MS, SpanLimits::new(ms(5)));
    assert!(new.is_watched() && new != old);
    assert!(!promises.close(100 * MS, old));
    assert!(promises.close(100 * MS, new));
}
