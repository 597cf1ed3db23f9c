//! The metrics of programs, for the scrape of a fleet: their number is bounded, whatever the
//! number of agents.

use varta_observer::{CauseClass, Label};

use super::exposition::{Exposition, push_label};
use crate::state::Snapshot;
use crate::state::histogram::{FLEET_INTERVALS, INTERVALS};
use crate::state::programs::{Beats, Program, ProgramNumber};

/// A program, or the sum of all others.
struct Row<'a> {
    labels: String,
    program: &'a Program,
    beats: Beats,
    agents: u64,
    stalled: u64,
    late_tasks: u64,
    /// The agents that it should have and those that it lacks, if it is expected.
    expected: Option<(u64, u64)>,
}

pub(super) fn write(snapshot: &Snapshot, to: &mut Exposition) {
    write_rows(&rows(snapshot), to);
}

fn write_rows(rows: &[Row<'_>], to: &mut Exposition) {
    write_current(rows, to);
    write_expected(rows, to);
    write_beats(rows, to);
    write_ends(rows, to);
}

fn rows(snapshot: &Snapshot) -> Vec<Row<'_>> {
    let empty = |(name, program): (&str, _)| {
        let mut labels = String::with_capacity(80);
        push_label(&mut labels, "program", name);
        let beats = Beats::NONE;
        Row { labels, program, beats, agents: 0, stalled: 0, late_tasks: 0, expected: None }
    };
    let mut rows: Vec<_> = snapshot.programs.all().into_iter().map(empty).collect();
    let mut add = |number: ProgramNumber, change: &dyn Fn(&mut Row<'_>)| {
        rows.get_mut(number.index()).into_iter().for_each(change);
    };
    for (_, stats) in &snapshot.stats {
        add(stats.program.unwrap_or_default(), &|row| row.beats.add(stats));
    }
    for agent in snapshot.agents() {
        let tasks = snapshot.tasks_of(agent.info.agent).iter();
        let late_tasks = tasks.filter(|task| task.is_late()).count() as u64;
        add(agent.stats.program.unwrap_or_default(), &|row| {
            row.agents += 1;
            row.stalled += u64::from(agent.info.stalled);
            row.late_tasks += late_tasks;
        });
    }
    for one in &snapshot.expected {
        add(snapshot.programs.get(&Label::new(one.program.as_bytes())), &|row| {
            let (count, missing) = row.expected.unwrap_or_default();
            row.expected = Some((count + u64::from(one.count), missing + one.missing_agents()));
        });
    }
    rows
}

fn write_current(rows: &[Row<'_>], to: &mut Exposition) {
    let mut gauge = |name, help, value: fn(&Row<'_>) -> u64| {
        let mut family = to.gauge(name, help);
        rows.iter().for_each(|row| family.put(&row.labels, value(row)));
    };
    gauge("varta_program_agents", "Current agents.", |row| row.agents);
    gauge("varta_program_stalled_agents", "Agents that are stalled.", |row| row.stalled);
    gauge("varta_program_late_tasks", "Tasks that are late.", |row| row.late_tasks);
}

fn write_expected(rows: &[Row<'_>], to: &mut Exposition) {
    let expected = || rows.iter().filter_map(|row| Some((&row.labels, row.expected?)));
    let help = "Agents that this program should have, according to the configuration file.";
    let mut family = to.gauge("varta_expected_agents", help);
    expected().for_each(|(labels, (count, _))| family.put(labels, count));
    let help = "Agents that this program lacks, once it has lacked some for the time that its \
                expectation allows.";
    let mut family = to.gauge("varta_missing_agents", help);
    expected().for_each(|(labels, (_, missing))| family.put(labels, missing));
}

fn write_beats(rows: &[Row<'_>], to: &mut Exposition) {
    let all: Vec<_> = rows.iter().map(|row| row.program.beats(&row.beats)).collect();
    let mut family = to.counter("varta_program_beats", "Beats accepted.");
    rows.iter().zip(&all).for_each(|(row, beats)| family.put(&row.labels, beats.beats));
    let help = "Beats that never arrived, according to the nonces of those that did.";
    let mut family = to.counter("varta_program_missed_beats", help);
    rows.iter().zip(&all).for_each(|(row, beats)| family.put(&row.labels, beats.missed));
    let help = "Time between two beats of an agent.";
    let name = "varta_program_beat_interval_seconds";
    let mut family = to.histogram(name, help, FLEET_INTERVALS);
    for (row, beats) in rows.iter().zip(&all) {
        let intervals = beats.intervals.with_bounds(&INTERVALS, &FLEET_INTERVALS);
        family.put(&row.labels, &intervals);
    }
}

fn write_ends(rows: &[Row<'_>], to: &mut Exposition) {
    let help = "Stalls of agents, by the class of the cause that was known when they were \
                reported.";
    let mut family = to.counter("varta_program_stalls", help);
    for row in rows {
        for (class, tally) in row.program.stalls() {
            let labels = and(&row.labels, "class", CauseClass::name(class));
            family.put_with_example(&labels, tally.count, tally.last.as_ref());
        }
    }
    let help = "Exited processes: with code 0, another code, a signal, or an unknown cause.";
    let mut family = to.counter("varta_program_exits", help);
    for row in rows {
        for (kind, tally) in row.program.exits() {
            let labels = and(&row.labels, "cause", kind);
            family.put_with_example(&labels, tally.count, tally.last.as_ref());
        }
    }
}

fn and(labels: &str, name: &str, value: &str) -> String {
    let mut labels = format!("{labels},");
    push_label(&mut labels, name, value);
    labels
}

#[cfg(test)]
mod tests {
    use varta_observer::{Cause, ExitCause};

    use super::super::exposition::Format;
    use super::*;
    use crate::state::programs::Programs;
    use crate::state::stats::AgentStats;

    #[test]
    fn a_program_has_at_most_32_series_and_4_kib() {
        let mut programs = Programs::default();
        let program = programs.number(Label::new("x".repeat(63).as_bytes()));
        let mut stats =
            AgentStats { pid: 4_194_304, program: Some(program), ..AgentStats::EMPTY };
        (stats.beats, stats.missed) = (9_999_999_999, 9_999_999_999);
        stats.intervals.note_many(&INTERVALS, 99_999_999_999_999_999, 9_999_999_999);
        for cause in [
            Cause::Unknown,
            Cause::Throttled,
            Cause::Memory,
            Cause::SelfReported,
            Cause::ThreadGone,
        ] {
            programs.note_stall(9_999_999, &stats, Some(cause));
        }
        for cause in
            [ExitCause::Code(0), ExitCause::Code(1), ExitCause::Signal(9), ExitCause::Unknown]
        {
            programs.note_exit(9_999_999, &stats, cause);
        }
        let (name, program) = programs.all()[1];
        let mut labels = String::new();
        push_label(&mut labels, "program", name);
        let row = Row {
            labels,
            program,
            beats: Beats::NONE,
            agents: 999_999,
            stalled: 999_999,
            late_tasks: 999_999,
            expected: Some((999_999, 999_999)),
        };
        let mut to = Exposition::new(Format::OpenMetrics);
        write_rows(&[row], &mut to);
        let text = to.into_text();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(text.matches(" # {agent=").count(), 9);
        assert!(samples.len() <= 32, "{text}");
        let bytes: usize = samples.iter().map(|line| line.len() + 1).sum();
        assert!(bytes <= 4_096, "{bytes} bytes\n{text}");
    }
}
