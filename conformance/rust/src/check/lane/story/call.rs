//! Calls of a task: they are written as the story says, and the agent must write the same.

use std::collections::HashMap;
use std::time::Duration;

use varta::internal::lane::layout::{Cold, Hot, NEVER};
use varta::internal::task::Promises;
use varta::{Edge, SpanId, SpanLimits, TaskOptions};
use varta_observer::Simulated;

use super::process::Process;
use crate::check::lane::values;
use crate::failure::{Failure, same};
use crate::fields::Fields;

const WHERE: [&str; 8] = ["at_ns", "op", "pid", "copy", "pair", "verb", "cold", "hot"];

/// A task of a process.
pub(super) struct Task {
    promises: Promises,
    /// The ids of its open spans, by their numbers in the story.
    spans: HashMap<u32, SpanId>,
    pub(super) cold: Cold,
}

impl Process {
    /// A call at a time of the observer, and of the process's clock.
    pub(super) fn call(
        &mut self,
        observer: &Simulated,
        at_ns: u64,
        clock_ns: u64,
        step: &Fields<'_>,
    ) -> Result<(), Failure> {
        let pair = step.number("pair")?;
        let ended = self.ended(pair);
        let hot = values::hot(&step.object("hot")?, at_ns)?;
        let cold = match step.has("cold") {
            true => Some(values::cold(&step.object("cold")?)?),
            false => None,
        };
        if step.text("verb")? == "declare" {
            let cold = cold.ok_or_else(|| Failure::new("cold", "a JSON object", "nothing"))?;
            self.tasks.insert(pair, Task::declare(clock_ns, step, Cold { ended, ..cold })?);
        }
        let Some(task) = self.tasks.get_mut(&pair) else {
            return Err(Failure::new("pair", "the pair of a task", pair));
        };
        task.make(clock_ns, step)?;
        task.cold = cold.unwrap_or(task.cold);
        task.compare(&hot)?;
        let words = task.cold.to_words();
        self.write_cold(observer, pair, words)?;
        self.write_hot(observer, pair, &hot)
    }
}

impl Task {
    fn declare(at_ns: u64, step: &Fields<'_>, cold: Cold) -> Result<Self, Failure> {
        only(step, &["name", "threshold_ns", "options"])?;
        same("name", step.text("name")?, cold.name.as_str())?;
        let threshold = duration(step.number("threshold_ns")?);
        let options = options(threshold, &step.object("options")?)?;
        let mut promises = Promises::new(&options)
            .map_err(|error| Failure::new("options", "those of a task", error))?;
        promises.declare(at_ns);
        Ok(Self { promises, spans: HashMap::new(), cold })
    }

    fn make(&mut self, at_ns: u64, step: &Fields<'_>) -> Result<(), Failure> {
        let promises = &mut self.promises;
        match step.text("verb")? {
            "declare" => {}
            "beat" => {
                only(step, &["status", "payload"])?;
                let status = values::status(step.text("status")?)?;
                promises.beat(at_ns, status, step.number("payload")?);
            }
            "idle" => {
                only(step, &["at_most_ns"])?;
                promises.idle(at_ns, duration_or(step, "at_most_ns", NEVER)?);
            }
            "watch" => {
                only(step, &["span", "max_ns", "min_ns", "label"])?;
                let label = if step.has("label") { step.number("label")? } else { 0 };
                let limits = SpanLimits::new(duration(step.number("max_ns")?))
                    .min(duration_or(step, "min_ns", 0)?)
                    .label(label);
                self.spans.insert(step.number("span")?, promises.open(at_ns, limits));
            }
            "unwatch" => {
                only(step, &["span"])?;
                let number = step.number("span")?;
                let Some(id) = self.spans.remove(&number) else {
                    return Err(Failure::new("span", "a span that was opened", number));
                };
                promises.close(at_ns, id);
            }
            "reach" => {
                only(step, &["checkpoint"])?;
                promises.reach(at_ns, step.number("checkpoint")?);
            }
            "progress" => {
                only(step, &["done", "left"])?;
                promises.progress(at_ns, step.number("done")?, step.number("left")?);
            }
            other => {
                let known = "declare, beat, idle, watch, unwatch, reach or progress";
                return Err(Failure::new("verb", known, other));
            }
        }
        Ok(())
    }

    /// Compares what the agent would write with what the story writes.
    fn compare(&mut self, hot: &Hot) -> Result<(), Failure> {
        let text = |hot: &Hot| format!("{hot:x?}");
        same("what the call writes", &text(hot), &text(&self.promises.hot()))?;
        let (found, cold) = (self.promises.violations(), &self.cold);
        let expected = format!("{} {:?}", cold.violations, cold.last_violation);
        same("violations", &expected, &format!("{} {:?}", found.total(), found.last()))
    }
}

fn only(step: &Fields<'_>, names: &[&str]) -> Result<(), Failure> {
    step.only(&[&WHERE, names].concat())
}

fn options(threshold: Duration, fields: &Fields<'_>) -> Result<TaskOptions, Failure> {
    fields.only(&[
        "startup_ns",
        "progress_ns",
        "edges",
        "cycle_ns",
        "least",
        "most",
        "finest_ns",
        "vital",
        "roams",
        "spans",
    ])?;
    let mut options = TaskOptions::new(threshold);
    if fields.has("startup_ns") {
        options = options.startup(duration(fields.number("startup_ns")?));
    }
    if fields.has("progress_ns") {
        options = options.progress(duration(fields.number("progress_ns")?));
    }
    if fields.has("edges") {
        let edges = fields.list("edges")?.iter().map(|edge| self::edge(&Fields::new(edge)?));
        options = options.edges(edges.collect::<Result<Vec<_>, _>>()?);
    }
    if fields.has("cycle_ns") {
        let least = if fields.has("least") { fields.number("least")? } else { 0 };
        let most = if fields.has("most") { fields.number("most")? } else { u32::MAX };
        options = options.cycle(duration(fields.number("cycle_ns")?), least..=most);
    }
    if fields.has("finest_ns") {
        options = options.finest(duration(fields.number("finest_ns")?));
    }
    if fields.has("spans") {
        options = options.spans(fields.number("spans")?);
    }
    let is_set = |name| Ok(fields.has(name) && fields.boolean(name)?);
    Ok(options.vital(is_set("vital")?).roams(is_set("roams")?))
}

fn edge(fields: &Fields<'_>) -> Result<Edge, Failure> {
    fields.only(&["from", "to", "min_ns", "max_ns"])?;
    let max = match fields.null("max_ns") {
        Ok(()) => duration(NEVER),
        Err(_) => duration(fields.number("max_ns")?),
    };
    let edge = Edge::new(fields.number("from")?, fields.number("to")?);
    Ok(edge.min(duration(fields.number("min_ns")?)).max(max))
}

fn duration_or(step: &Fields<'_>, name: &str, default: u64) -> Result<Duration, Failure> {
    Ok(duration(if step.has(name) { step.number(name)? } else { default }))
}

fn duration(ns: u64) -> Duration {
    if ns == NEVER { varta::NEVER } else { Duration::from_nanos(ns) }
}
