//! Measures several calls side by side, so that noise affects all of them alike.

use std::hint::black_box;
use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

/// Calls of a contender that may fail before the set-up counts as broken.
const MOST_MISSES: usize = 1_000;

/// One of the calls that are measured side by side.
pub(crate) struct Contender<'a> {
    name: &'static str,
    call: Box<dyn FnMut() -> bool + 'a>,
}

impl<'a> Contender<'a> {
    /// `call` returns whether it succeeded; if not, the sample does not count.
    pub(crate) fn new(name: &'static str, call: impl FnMut() -> bool + 'a) -> Self {
        Self { name, call: Box::new(call) }
    }
}

/// The contenders, and what must exist while they run.
pub(crate) type SetUp<S> = (S, Vec<Contender<'static>>);

/// How to measure a group.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// How long all of it may take.
    pub(crate) budget: Duration,
    /// How often everything is set up again. The place of a socket in the kernel's memory
    /// changes its times by some percent for as long as it exists.
    pub(crate) set_ups: u32,
    /// Samples of a contender in a row, before the next one's turn.
    pub(crate) block: usize,
    /// Operations in one call of a contender.
    pub(crate) each: u32,
    /// Sleep before each sample.
    pub(crate) gap: Duration,
}

/// Something that exists while contenders are measured, such as a receiver.
pub(crate) trait Standing {
    /// Restores the initial state before the next call, after this many successful calls.
    fn settle(&self, _calls: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Standing for () {}
/// A receiver that counts nothing which must be waited for.
impl<A, B> Standing for (A, B) {}
impl Standing for UnixDatagram {}
impl Standing for UdpSocket {}

/// Times in nanoseconds that were measured side by side.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// One contender's times.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// All samples, sorted.
    samples: Vec<f64>,
    /// The median of each round.
    rounds: Vec<f64>,
    /// Calls that failed and were not counted.
    pub(crate) missed: usize,
}

/// How two contenders compare.
#[derive(Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) value: f64,
    /// The quartiles over the rounds.
    pub(crate) quartiles: (f64, f64),
}

/// Gives each contender a turn in each round, until the budget is used up.
pub(crate) fn side_by_side<S: Standing>(
    name: &'static str,
    plan: Plan,
    mut set_up: impl FnMut() -> io::Result<SetUp<S>>,
) -> io::Result<Group> {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..plan.set_ups {
        let (standing, mut contenders) = set_up()?;
        if rows.is_empty() {
            rows = contenders.iter().map(|contender| Row::new(contender.name)).collect();
        }
        let end = Instant::now() + plan.budget / plan.set_ups;
        let mut calls = Calls { plan, standing, good: 0 };
        let mut round = 0;
        while round == 0 || Instant::now() < end {
            calls
                .take_round(round, &mut contenders, &mut rows)
                .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
            round += 1;
        }
    }
    for row in &mut rows {
        row.samples.sort_unstable_by(f64::total_cmp);
    }
    Ok(Group { name, rows })
}

/// The calls of one set-up.
struct Calls<S> {
    plan: Plan,
    standing: S,
    good: u64,
}

impl<S: Standing> Calls<S> {
    fn take_round(
        &mut self,
        round: usize,
        contenders: &mut [Contender<'_>],
        rows: &mut [Row],
    ) -> io::Result<()> {
        let clock = clock_ns(self.plan.block);
        let mut turns: Vec<_> = contenders.iter_mut().zip(rows).collect();
        // The contender that is first in this round is last in the next.
        let first = round % turns.len().max(1);
        turns.rotate_left(first);
        for (contender, row) in turns {
            let mut block = self.take_block(contender, row)?;
            for sample in &mut block {
                *sample = ((*sample - clock) / f64::from(self.plan.each)).max(0.0);
            }
            block.sort_unstable_by(f64::total_cmp);
            row.rounds.push(quantile(&block, 0.5));
            row.samples.append(&mut block);
        }
        Ok(())
    }

    fn take_block(
        &mut self,
        contender: &mut Contender<'_>,
        row: &mut Row,
    ) -> io::Result<Vec<f64>> {
        let mut block = Vec::with_capacity(self.plan.block);
        while block.len() < self.plan.block {
            self.standing.settle(self.good)?;
            if !self.plan.gap.is_zero() {
                thread::sleep(self.plan.gap);
            }
            let before = Instant::now();
            let good = black_box((contender.call)());
            let took = before.elapsed();
            if good {
                block.push(took.as_secs_f64() * 1e9);
                self.good += 1;
            } else {
                row.missed += 1;
                if row.missed > MOST_MISSES {
                    return Err(io::Error::other(format!(
                        "{:?} fails too often",
                        contender.name
                    )));
                }
            }
        }
        Ok(block)
    }
}

/// The cost of reading the clock twice, which each sample contains.
fn clock_ns(samples: usize) -> f64 {
    let mut block: Vec<_> = (0..samples)
        .map(|_| {
            let before = Instant::now();
            before.elapsed().as_secs_f64() * 1e9
        })
        .collect();
    block.sort_unstable_by(f64::total_cmp);
    quantile(&block, 0.5)
}

impl Group {
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The median over all rounds of the ratio of medians.
    pub(crate) fn ratio(&self, of: &str, to: &str) -> Option<Ratio> {
        let (of, to) = (self.row(of)?, self.row(to)?);
        let mut ratios: Vec<f64> =
            of.rounds.iter().zip(&to.rounds).map(|(of, to)| of / to).collect();
        if ratios.is_empty() {
            return None;
        }
        ratios.sort_unstable_by(f64::total_cmp);
        Some(Ratio {
            value: quantile(&ratios, 0.5),
            quartiles: (quantile(&ratios, 0.25), quantile(&ratios, 0.75)),
        })
    }
}

impl Row {
    fn new(name: &'static str) -> Self {
        Self { name, samples: Vec::new(), rounds: Vec::new(), missed: 0 }
    }

    /// A row of values that were measured in another way, one per round.
    pub(crate) fn of_rounds(name: &'static str, rounds: Vec<f64>) -> Self {
        Self { rounds: rounds.clone(), ..Self::of_samples(name, rounds) }
    }

    /// A row of values that were measured in another way, without rounds.
    pub(crate) fn of_samples(name: &'static str, mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        Self { samples, ..Self::new(name) }
    }

    pub(crate) fn median(&self) -> f64 {
        quantile(&self.samples, 0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        quantile(&self.samples, 0.99)
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples.len()
    }
}

/// The quantile of sorted values for this share.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan =
        Plan { budget: Duration::ZERO, set_ups: 3, block: 4, each: 1, gap: Duration::ZERO };

    #[test]
    fn quantiles_are_taken_from_sorted_values() {
        let values: Vec<f64> = (0..=100_u32).map(f64::from).collect();
        let found = [0.0, 0.5, 0.99, 1.0].map(|share| quantile(&values, share));
        assert_eq!(found, [0.0, 50.0, 99.0, 100.0]);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_failed_call_is_not_a_sample() {
        let group = side_by_side("group", PLAN, || {
            let mut calls = 0;
            let every_other = Contender::new("every other", move || {
                calls += 1;
                calls % 2 == 0
            });
            Ok(((), vec![every_other]))
        });
        let group = group.unwrap();
        let row = group.row("every other").unwrap();
        assert_eq!((row.samples(), row.missed), (12, 12));
    }

    #[test]
    fn a_ratio_is_the_median_over_the_rounds() {
        let busy = |name, micros| {
            Contender::new(name, move || {
                let end = Instant::now() + Duration::from_micros(micros);
                while Instant::now() < end {}
                true
            })
        };
        let set_up = || Ok(((), vec![busy("long", 200), busy("short", 100)]));
        let group = side_by_side("group", PLAN, set_up).unwrap();
        let ratio = group.ratio("long", "short").unwrap().value;
        assert!((1.0..4.0).contains(&ratio), "{ratio}");
        assert!(group.ratio("long", "absent").is_none());
    }
}
