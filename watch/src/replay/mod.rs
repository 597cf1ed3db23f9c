//! Replay: judges the recorded silences again, by other thresholds, and compares what follows
//! with what was reported.
//!
//! [`recorded`] is what a run of the daemon has recorded of each agent; [`read`] puts it together.
//! [`thresholds`] plans which threshold each agent gets. [`judge`] lets the judge of the daemon
//! decide in simulated time. [`compare`] compares its decisions with those of the run, and
//! [`report`] tells the difference. None of this reads a file.

mod compare;
mod judge;
mod read;
mod recorded;
mod report;
mod thresholds;

use std::io;

pub(crate) use self::read::Reading;
pub(crate) use self::recorded::{Agent, Run};
pub(crate) use self::report::Outcome;
pub(crate) use self::thresholds::{Choice, Plan, TooShort, plan};

use self::recorded::Doubt;
use self::report::Replayed;

impl Outcome {
    /// Judges a run by the thresholds of a plan, and adds what follows from that in the period.
    pub(crate) fn add(
        &mut self,
        name: String,
        run: Run,
        choice: &Choice,
        plan: &Plan,
        period: (u64, u64),
    ) -> io::Result<()> {
        let selects = |agent: &Agent| choice.selects(agent);
        let mut verdicts = judge::judge(&run, choice.default_ns(&run), plan)?;
        let cases = compare::cases(&run, &verdicts, selects, period);
        for (program, counts) in compare::by_program(&run, &cases, selects) {
            self.programs.entry(program).or_default().add(&counts);
        }
        for (doubt, count) in &run.doubts {
            *self.doubts.entry(*doubt).or_default() += count;
        }
        let was_late = !run.absences.is_empty();
        for agent in run.agents.iter().filter(|agent| choice.selects(agent)) {
            for doubt in &agent.doubts {
                if *doubt != Doubt::LateLooks || was_late {
                    *self.doubts.entry(*doubt).or_default() += 1;
                }
            }
        }
        verdicts.retain(|verdict| {
            let selected = run.agents.get(verdict.agent).is_some_and(selects);
            selected && (period.0..=period.1).contains(&verdict.at_ns)
        });
        self.runs.push(Replayed { name, run, cases, verdicts });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
