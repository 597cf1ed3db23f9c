//! The results of a benchmark as JSON. `bench/run` merges them and decides which targets are
//! met.

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::measure::{Group, Row};

/// A limit on one contender's time, as a ratio to another's or in nanoseconds.
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

impl Quantile {
    /// With fewer samples, the quantile is not meaningful and the target counts as not
    /// measured.
    const fn least_samples(self) -> usize {
        match self {
            Self::Median => 3,
            Self::P99 => 100,
        }
    }
}

#[derive(Clone, Copy)]
enum Limit {
    /// At most this many times the time of another contender of the group.
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

    /// The p99 of one contender must not be above that of the other.
    pub(crate) const fn p99(group: &'static str, of: &'static str, to: &'static str) -> Self {
        Self { group, of, at: Quantile::P99, limit: Limit::Ratio { to, at_most: 1.0 } }
    }

    pub(crate) const fn median_ns(group: &'static str, of: &'static str, at_most: f64) -> Self {
        Self { group, of, at: Quantile::Median, limit: Limit::Nanoseconds(at_most) }
    }

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

    fn json(&self, groups: &[Group]) -> Value {
        let group = groups.iter().find(|group| group.name == self.group);
        let row = |name| {
            let row = group?.row(name)?;
            (row.samples() >= self.at.least_samples()).then_some(row)
        };
        let value = |row: &Row| match self.at {
            Quantile::Median => row.median(),
            Quantile::P99 => row.p99(),
        };
        let of = row(self.of).map(value);
        let (to, ratio, at_most) = match self.limit {
            Limit::Nanoseconds(at_most) => (None, None, at_most),
            Limit::Ratio { to: name, at_most } => {
                let to = row(name).map(value);
                let ratio = match self.at {
                    Quantile::Median => group
                        .and_then(|group| group.ratio(self.of, name))
                        .map(|ratio| ratio.value),
                    Quantile::P99 => of.zip(to).map(|(of, to)| of / to),
                };
                (to, ratio, at_most)
            }
        };
        let measured = match self.limit {
            Limit::Ratio { .. } => of.is_some() && to.is_some() && ratio.is_some(),
            Limit::Nanoseconds(_) => of.is_some(),
        };
        json!({
            "name": self.name(),
            "value": of,
            "unit": "ns",
            "to": to,
            "ratio": ratio,
            "at_most": at_most,
            "measured": measured,
        })
    }
}

/// A number that was not measured side by side. It may have a limit.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    at_most: Option<f64>,
    measured: bool,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, at_most: None, measured: true }
    }

    pub(crate) fn bytes(name: impl Into<String>, bytes: usize) -> Self {
        Self::new(name, bytes as f64, "bytes")
    }

    /// Sets the limit. `measured` is whether the condition of the limit occurred: a count of
    /// errors is 0 even if nothing was tried.
    pub(crate) fn at_most(self, at_most: f64, measured: bool) -> Self {
        Self { at_most: Some(at_most), measured, ..self }
    }

    fn target(&self) -> Option<Value> {
        Some(json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "to": null,
            "ratio": null,
            "at_most": self.at_most?,
            "measured": self.measured && self.value.is_finite(),
        }))
    }
}

/// The results of a benchmark: side-by-side times, and figures.
pub(crate) type Findings = (Vec<Group>, Vec<Figure>);

/// Converts the findings to JSON. A target without samples is reported as not measured.
pub(crate) fn to_json(
    machine: &Machine,
    targets: &[Target],
    (groups, figures): &Findings,
) -> Value {
    let times: Vec<_> = groups
        .iter()
        .flat_map(|group| group.rows.iter().map(|row| time_json(group, row)))
        .collect();
    let values: Vec<_> = figures
        .iter()
        .map(
            |figure| json!({ "name": figure.name, "value": figure.value, "unit": figure.unit }),
        )
        .collect();
    let targets: Vec<_> = targets
        .iter()
        .map(|target| target.json(groups))
        .chain(figures.iter().filter_map(Figure::target))
        .collect();
    json!({ "machine": machine.to_json(), "targets": targets, "times": times, "figures": values })
}

fn time_json(group: &Group, row: &Row) -> Value {
    let ratio = group
        .rows
        .first()
        .filter(|first| first.name != row.name)
        .and_then(|first| group.ratio(row.name, first.name));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn group(samples: usize) -> Group {
        let row = |name, ns| Row::of_rounds(name, vec![ns; samples]);
        Group { name: "group", rows: vec![row("ours", 10.0), row("theirs", 20.0)] }
    }

    #[test]
    fn a_target_is_measured_when_both_contenders_have_samples() {
        let target = Target::median("group", "ours", "theirs", 0.8);
        let found = target.json(&[group(3)]);
        assert_eq!((&found["measured"], &found["ratio"]), (&json!(true), &json!(0.5)));
        assert_eq!(target.json(&[group(2)])["measured"], json!(false));
        assert_eq!(target.json(&[])["measured"], json!(false));
        let absent = Target::median("group", "ours", "absent", 0.8);
        assert_eq!(absent.json(&[group(3)])["measured"], json!(false));
    }

    #[test]
    fn a_p99_needs_a_hundred_samples() {
        let target = Target::p99_ns("group", "ours", 11.0);
        assert_eq!(target.json(&[group(99)])["measured"], json!(false));
        let found = target.json(&[group(100)]);
        assert_eq!((&found["measured"], &found["value"]), (&json!(true), &json!(10.0)));
    }

    #[test]
    fn a_figure_without_measurement_is_not_measured() {
        let stalls = |measured| Figure::new("false stalls", 0.0, "").at_most(0.0, measured);
        assert_eq!(stalls(false).target().unwrap()["measured"], json!(false));
        assert_eq!(stalls(true).target().unwrap()["measured"], json!(true));
        let unknown = Figure::new("median", f64::NAN, "ns").at_most(5.0, true);
        assert_eq!(unknown.target().unwrap()["measured"], json!(false));
    }
}
