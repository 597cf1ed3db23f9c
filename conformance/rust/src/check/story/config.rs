//! Creates the simulated observer of a story.

use std::time::Duration;

use varta::secure::Key;
use varta_observer::{Builder, Rate, Simulated, Slack, Uids};

use crate::failure::Failure;
use crate::fields::Fields;

const SETTINGS: [&str; 16] = [
    "threshold_ns",
    "pause_after_ns",
    "capacity",
    "uids",
    "namespaces",
    "version1",
    "detect_exits",
    "rate_per_agent",
    "rate",
    "shared_keys_hex",
    "master_key_hex",
    "lane",
    "tasks",
    "causes",
    "task_slack",
    "program_slack",
];

pub(super) fn observer(config: &Fields<'_>) -> Result<Simulated, Failure> {
    config.only(&SETTINGS)?;
    let mut builder = Builder::new()
        .threshold(Duration::from_nanos(config.number("threshold_ns")?))
        .uids(uids(config)?);
    if config.has("pause_after_ns") {
        builder = builder.pause_after(Duration::from_nanos(config.number("pause_after_ns")?));
    }
    if config.has("capacity") {
        builder = builder.capacity(config.number("capacity")?);
    }
    if config.has("namespaces") {
        builder = builder.namespaces(config.boolean("namespaces")?);
    }
    if config.has("version1") {
        builder = builder.version1(config.boolean("version1")?);
    }
    if config.has("detect_exits") {
        builder = builder.detect_exits(config.boolean("detect_exits")?);
    }
    if config.has("rate_per_agent") {
        builder = builder.rate_per_agent(rate(&config.object("rate_per_agent")?)?);
    }
    if config.has("rate") {
        builder = builder.rate(rate(&config.object("rate")?)?);
    }
    if config.has("shared_keys_hex") {
        for key in config.arrays("shared_keys_hex")? {
            builder = builder.shared_key(Key::from_bytes(key));
        }
    }
    if config.has("master_key_hex") {
        builder = builder.master_key(Key::from_bytes(config.array("master_key_hex")?));
    }
    if config.has("lane") {
        builder = builder.lane(config.boolean("lane")?);
    }
    if config.has("tasks") {
        builder = builder.tasks(config.boolean("tasks")?);
    }
    if config.has("causes") {
        builder = builder.causes(config.boolean("causes")?);
    }
    builder
        .slack(slack(config)?)
        .simulate()
        .map_err(|error| Failure::new("config", "settings for an observer", error))
}

fn slack(config: &Fields<'_>) -> Result<Slack, Failure> {
    let mut slack = Slack::new();
    if config.has("task_slack") {
        for (name, ns) in config.object("task_slack")?.all::<u64>()? {
            slack = slack.task(name, Duration::from_nanos(ns));
        }
    }
    if config.has("program_slack") {
        for (name, ns) in config.object("program_slack")?.all::<u64>()? {
            slack = slack.program(name, Duration::from_nanos(ns));
        }
    }
    Ok(slack)
}

/// A list, or "any".
fn uids(config: &Fields<'_>) -> Result<Uids, Failure> {
    match config.text("uids") {
        Ok("any") => Ok(Uids::Any),
        _ => Ok(Uids::List(config.numbers("uids")?.into())),
    }
}

fn rate(rate: &Fields<'_>) -> Result<Rate, Failure> {
    rate.only(&["per_second", "burst"])?;
    Ok(Rate { per_second: rate.number("per_second")?, burst: rate.number("burst")? })
}
