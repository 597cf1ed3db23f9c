//! What a run has found: tables for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::measure::{Group, Row};

/// What is to be reached.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    group: &'static str,
    of: &'static str,
    at: Quantile,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Quantile {
    Median,
    P99,
}

#[derive(Clone, Copy)]
enum Limit {
    /// So many times as long as another of the group.
    Ratio {
        to: &'static str,
        at_most: f64,
    },
    Nanoseconds(f64),
}

impl Target {
    pub(crate) const fn median(
        group: &'static str,
        of: &'static str,
        to: &'static str,
        at_most: f64,
    ) -> Self {
        Self { group, of, at: Quantile::Median, limit: Limit::Ratio { to, at_most } }
    }

    /// No worse than the other.
    pub(crate) const fn p99(group: &'static str, of: &'static str, to: &'static str) -> Self {
        Self { group, of, at: Quantile::P99, limit: Limit::Ratio { to, at_most: 1.0 } }
    }

    /// Almost never longer than this.
    pub(crate) const fn p99_ns(group: &'static str, of: &'static str, at_most: f64) -> Self {
        Self { group, of, at: Quantile::P99, limit: Limit::Nanoseconds(at_most) }
    }

    fn name(&self) -> String {
        let at = match self.at {
            Quantile::Median => "",
            Quantile::P99 => " p99",
        };
        match self.limit {
            Limit::Ratio { to, .. } => format!("{}: {}{at} to {to}", self.group, self.of),
            Limit::Nanoseconds(_) => format!("{}: {}{at}", self.group, self.of),
        }
    }

    /// What became of it, if this run has measured it.
    fn outcome(&self, groups: &[Group]) -> Option<Outcome> {
        let group = groups.iter().find(|group| group.name == self.group)?;
        let of = group.row(self.of)?;
        let value = |row: &Row| match self.at {
            Quantile::Median => row.median(),
            Quantile::P99 => row.p99(),
        };
        let (unit, to, ratio, at_most) = match self.limit {
            Limit::Nanoseconds(at_most) => ("ns", None, None, at_most),
            Limit::Ratio { to: name, at_most } => {
                let to = value(group.row(name)?);
                let ratio = match self.at {
                    Quantile::Median => group.ratio(self.of, name)?.value,
                    Quantile::P99 => value(of) / to,
                };
                ("ns", Some(to), Some(ratio), at_most)
            }
        };
        Some(Outcome { name: self.name(), unit, value: value(of), to, ratio, at_most })
    }
}

/// A number that is not a time, or is one by itself.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    at_most: Option<f64>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, at_most: None }
    }

    pub(crate) fn bytes(name: impl Into<String>, bytes: usize) -> Self {
        Self::new(name, bytes as f64, "bytes")
    }

    /// What it is to be.
    pub(crate) fn at_most(self, at_most: f64) -> Self {
        Self { at_most: Some(at_most), ..self }
    }

    fn outcome(&self) -> Option<Outcome> {
        Some(Outcome {
            name: self.name.clone(),
            unit: self.unit,
            value: self.value,
            to: None,
            ratio: None,
            at_most: self.at_most?,
        })
    }
}

/// What became of a target.
struct Outcome {
    name: String,
    unit: &'static str,
    value: f64,
    to: Option<f64>,
    ratio: Option<f64>,
    at_most: f64,
}

impl Outcome {
    fn is_met(&self) -> bool {
        self.ratio.unwrap_or(self.value) <= self.at_most
    }

    fn line(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            number(self.value),
            self.unit.to_owned(),
            self.to.map_or_else(String::new, number),
            self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}")),
            self.ratio.map_or_else(|| number(self.at_most), |_| format!("{:.2}", self.at_most)),
            if self.is_met() { "met" } else { "NOT MET" }.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "to": self.to,
            "ratio": self.ratio,
            "at_most": self.at_most,
            "met": self.is_met(),
        })
    }
}

/// Whole, if it is.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// What a bench has found.
pub(crate) type Findings = (Vec<Group>, Vec<Figure>);

/// All that a run has found.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) targets: Vec<Target>,
    pub(crate) groups: Vec<Group>,
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        if !self.groups.is_empty() {
            text += &table(&TIMES, self.groups.iter().flat_map(time_lines).collect());
        }
        if !self.figures.is_empty() {
            let line = |figure: &Figure| {
                vec![figure.name.clone(), number(figure.value), figure.unit.to_owned()]
            };
            text += &table(&["measured", ">", ""], self.figures.iter().map(line).collect());
        }
        let outcomes: Vec<_> = self.outcomes().collect();
        let (count, missed) =
            (outcomes.len(), outcomes.iter().filter(|outcome| !outcome.is_met()).count());
        if count > 0 {
            text += &table(&TARGETS, outcomes.iter().map(Outcome::line).collect());
            let _ = match missed {
                0 => writeln!(text, "all {count} targets met"),
                _ => writeln!(text, "{missed} of {count} targets NOT MET"),
            };
        }
        text
    }

    fn outcomes(&self) -> impl Iterator<Item = Outcome> + '_ {
        let of_times = self.targets.iter().filter_map(|target| target.outcome(&self.groups));
        of_times.chain(self.figures.iter().filter_map(Figure::outcome))
    }

    pub(crate) fn to_json(&self) -> Value {
        let targets: Vec<_> = self.outcomes().map(|outcome| outcome.json()).collect();
        let times: Vec<_> = self
            .groups
            .iter()
            .flat_map(|group| group.rows.iter().map(|row| time_json(group, row)))
            .collect();
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|figure| {
                json!({ "name": figure.name, "value": figure.value, "unit": figure.unit })
            })
            .collect();
        json!({
            "machine": self.machine.to_json(),
            "targets": targets,
            "times": times,
            "figures": figures,
        })
    }
}

const TARGETS: [&str; 7] = ["target", ">", "", "> to", "> ratio", "> at most", ""];

const TIMES: [&str; 8] = [
    "measured side by side",
    "",
    "> median ns",
    "> p99 ns",
    "> to first",
    "half of the rounds",
    "> samples",
    "> missed",
];

fn time_lines(group: &Group) -> Vec<Vec<String>> {
    group
        .rows
        .iter()
        .map(|row| {
            let ratio = to_first(group, row);
            vec![
                group.name.to_owned(),
                row.name.to_owned(),
                format!("{:.1}", row.median()),
                format!("{:.1}", row.p99()),
                ratio.map_or_else(String::new, |ratio| format!("{:.3}", ratio.value)),
                ratio.map_or_else(String::new, |ratio| {
                    format!("{:.3} to {:.3}", ratio.quartiles.0, ratio.quartiles.1)
                }),
                row.samples().to_string(),
                row.missed.to_string(),
            ]
        })
        .collect()
}

fn time_json(group: &Group, row: &Row) -> Value {
    let ratio = to_first(group, row);
    json!({
        "group": group.name,
        "name": row.name,
        "median_ns": row.median(),
        "p99_ns": row.p99(),
        "samples": row.samples(),
        "missed": row.missed,
        "ratio_to_first": ratio.map(|ratio| ratio.value),
        "ratio_quartiles": ratio.map(|ratio| [ratio.quartiles.0, ratio.quartiles.1]),
    })
}

fn to_first(group: &Group, row: &Row) -> Option<crate::measure::Ratio> {
    let first = group.rows.first()?;
    group.ratio(row.name, first.name).filter(|_| first.name != row.name)
}

/// A Markdown table whose columns line up. A heading that begins with `>` puts its column
/// to the right.
fn table(headings: &[&str], lines: Vec<Vec<String>>) -> String {
    let right: Vec<bool> = headings.iter().map(|heading| heading.starts_with('>')).collect();
    let headings: Vec<String> = headings
        .iter()
        .map(|heading| heading.trim_start_matches(['>', ' ']).to_owned())
        .collect();
    let mut widths = vec![0; headings.len()];
    for line in lines.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.len());
        }
    }
    let rule = widths
        .iter()
        .zip(&right)
        .map(|(width, right)| match right {
            true => format!("{:->1$}", ":", *width),
            false => "-".repeat(*width),
        })
        .collect();
    let mut text = String::new();
    for line in [headings, rule].into_iter().chain(lines) {
        text += "|";
        for ((cell, width), right) in line.iter().zip(&widths).zip(&right) {
            let _ = match right {
                true => write!(text, " {cell:>width$} |"),
                false => write!(text, " {cell:<width$} |"),
            };
        }
        text += "\n";
    }
    text += "\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let lines = vec![vec!["one".into(), "1".into()], vec!["eleven".into(), "11".into()]];
        let expected = "\
| name   |  n |
| ------ | -: |
| one    |  1 |
| eleven | 11 |

";
        assert_eq!(table(&["name", "> n"], lines), expected);
    }
}
