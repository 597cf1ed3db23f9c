//! What the history records of an event, of its agent and of the settings.

use std::io;

use varta_history::{CauseMembers, Started};
use varta_observer::{About, AgentInfo, Event, Observer, What};

use super::super::nanoseconds;
use crate::config::Settings;
use crate::output::cause::CauseFields;
use crate::state::history::{Identity, Unheard};
use crate::state::stats::AgentStats;

/// The threshold of the agent or task that an event is about. The declaration of a task has its
/// own.
pub(in crate::event_loop) fn threshold_of(
    event: &Event,
    stats: Option<&AgentStats>,
    observer: &Observer,
) -> Option<u64> {
    match (event.about, event.task, event.what) {
        (_, _, What::Task { threshold_ns }) => Some(threshold_ns),
        (Some(about), Some(task), _) => {
            let task = observer.task(about.agent, task.number).ok().flatten();
            task.map(|task| task.threshold_ns)
        }
        _ => stats.map(|stats| stats.threshold_ns),
    }
}

pub(super) fn started(settings: &Settings) -> Started {
    let flags = &settings.flags;
    let limit = |rate: u32| Some(rate.into()).filter(|rate| *rate > 0);
    Started {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        threshold_ns: nanoseconds(settings.threshold),
        causes: flags.admission.causes.is_on(),
        recovery: settings.has_commands(),
        lane: flags.lane.lane.is_on(),
        tasks: flags.lane.tasks.is_on(),
        capacity: flags.admission.tracker_capacity as u64,
        max_beat_rate: limit(flags.admission.max_beat_rate),
        global_beat_rate: limit(flags.admission.global_beat_rate),
        pause_after_ns: None,
    }
}

pub(super) fn unheard(observer: &Observer) -> io::Result<Unheard> {
    let counters = observer.stats()?;
    Ok(Unheard {
        full_looks: counters.full_looks,
        rate_limited: counters.rate_limited_agent + counters.rate_limited_global,
        refused: counters.capacity_exceeded,
        kernel_drops: counters.kernel_drops,
    })
}

pub(super) fn identity(about: &About, stats: &AgentStats, lane: bool) -> Identity {
    Identity {
        agent: about.agent,
        pid: about.pid,
        claimed_pid: about.claimed_pid,
        uid: stats.uid,
        origin: about.origin,
        program: stats.name,
        unit: stats.unit,
        user_unit: stats.user_unit,
        container: stats.container,
        lane,
    }
}

/// What the observer knows of the agent that an event is about.
pub(super) fn info_of(event: &Event, observer: &Observer) -> Option<AgentInfo> {
    event.about.and_then(|about| observer.agent(about.agent).ok().flatten())
}

pub(super) fn is_lane(event: &Event, observer: &Observer) -> bool {
    info_of(event, observer).is_some_and(|info| info.lane)
}

/// The cause of the silence that an event is about.
pub(super) fn cause_of(event: &Event, observer: &Observer) -> Option<CauseMembers> {
    let (What::Stall { why: Some(why), .. } | What::Cause { why }) = event.what else {
        return None;
    };
    let task = event.task.map_or(0, |task| task.number);
    let info = event.about.and_then(|about| observer.cause(about.agent, task).ok().flatten());
    let fields = match info {
        Some(info) => CauseFields::with_details(&info, None),
        None => CauseFields::of(&why),
    };
    Some(fields.into())
}
