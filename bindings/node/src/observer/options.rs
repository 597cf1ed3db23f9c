//! The options of an observer, as `lib/settings.js` passes them.

use std::time::Duration;

use napi::bindgen_prelude::{BigInt, Buffer};
use napi_derive::napi;
use varta_observer::{Builder, Rate, Slack, Uids};

use crate::agent::{parse, secret, socket_address};

/// A rate limit.
#[napi(object)]
#[derive(Debug)]
pub struct RateLimit {
    /// The sustained rate.
    pub per_second: u32,
    /// The maximum burst.
    pub burst: u32,
}

impl From<RateLimit> for Rate {
    fn from(limit: RateLimit) -> Self {
        Self { per_second: limit.per_second, burst: limit.burst }
    }
}

/// How late the tasks of one name, or of one program, may be.
#[napi(object)]
#[derive(Debug)]
pub struct SlackEntry {
    /// Whether it is the name of a program.
    pub of_program: bool,
    /// The name.
    pub name: String,
    /// The slack.
    pub ns: BigInt,
}

pub(crate) fn slack(entries: Vec<SlackEntry>) -> Slack {
    entries.into_iter().fold(Slack::new(), |slack, entry| match entry.of_program {
        true => slack.program(&entry.name, duration(&entry.ns)),
        false => slack.task(&entry.name, duration(&entry.ns)),
    })
}

/// All options of an observer. Absent ones keep their default.
#[napi(object)]
#[derive(Default)]
pub struct Settings {
    /// The endpoints on which it listens.
    pub endpoints: Vec<String>,
    /// UDP addresses for plain beats. With port 0 the kernel chooses one.
    pub udp: Vec<String>,
    /// UDP addresses for sealed beats.
    pub secure_udp: Vec<String>,
    /// How long an agent may be silent.
    pub threshold_ns: Option<BigInt>,
    /// How late the observer may be.
    pub pause_after_ns: Option<BigInt>,
    /// The maximum number of tracked agents.
    pub capacity: Option<u32>,
    /// The mode of the socket file.
    pub socket_mode: Option<u32>,
    /// The size of the kernel's receive buffers.
    pub receive_buffer: Option<u32>,
    /// The uids whose beats are accepted.
    pub uids: Option<Vec<u32>>,
    /// Whether beats of any uid are accepted.
    pub any_uid: bool,
    /// Whether senders in other pid namespaces are accepted.
    pub namespaces: bool,
    /// Whether version 1 frames are accepted.
    pub version1: bool,
    /// The rate limit of one agent.
    pub rate_per_agent: Option<RateLimit>,
    /// The rate limit of all agents together.
    pub rate: Option<RateLimit>,
    /// Shared keys of sealed beats.
    pub shared_keys: Vec<Buffer>,
    /// The key from which the key of each agent is derived.
    pub master_key: Option<Buffer>,
    /// The file that keeps sealed sessions across restarts.
    pub secure_state_file: Option<String>,
    /// Whether process exits are reported.
    pub detect_exits: bool,
    /// The maximum number of descriptors for that.
    pub descriptors: Option<u32>,
    /// Whether shared memory is offered to agents.
    pub lane: bool,
    /// Whether the tasks in it are followed.
    pub tasks: bool,
    /// Whether causes of silences are looked up.
    pub causes: bool,
    /// The shortest time between two looks at it.
    pub lane_floor_ns: Option<BigInt>,
    /// How late tasks may be.
    pub slack: Option<Vec<SlackEntry>>,
}

fn duration(ns: &BigInt) -> Duration {
    Duration::from_nanos(ns.get_u64().1)
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Settings {
    pub(crate) fn builder(self) -> crate::Result<Builder> {
        let mut builder = Builder::new()
            .namespaces(self.namespaces)
            .version1(self.version1)
            .detect_exits(self.detect_exits)
            .lane(self.lane)
            .tasks(self.tasks)
            .causes(self.causes);
        if let Some(floor) = &self.lane_floor_ns {
            builder = builder.lane_floor(duration(floor));
        }
        if let Some(entries) = self.slack {
            builder = builder.slack(slack(entries));
        }
        for endpoint in &self.endpoints {
            builder = builder.listen(parse(endpoint)?);
        }
        for address in &self.udp {
            builder = builder.udp(socket_address(address)?);
        }
        for address in &self.secure_udp {
            builder = builder.secure_udp(socket_address(address)?);
        }
        for key in &self.shared_keys {
            builder = builder.shared_key(secret(key)?);
        }
        if let Some(key) = &self.master_key {
            builder = builder.master_key(secret(key)?);
        }
        if let Some(path) = self.secure_state_file {
            builder = builder.secure_state_file(path);
        }
        if let Some(threshold) = &self.threshold_ns {
            builder = builder.threshold(duration(threshold));
        }
        if let Some(lateness) = &self.pause_after_ns {
            builder = builder.pause_after(duration(lateness));
        }
        if let Some(capacity) = self.capacity {
            builder = builder.capacity(size(capacity));
        }
        if let Some(mode) = self.socket_mode {
            builder = builder.socket_mode(mode);
        }
        if let Some(bytes) = self.receive_buffer {
            builder = builder.receive_buffer(size(bytes));
        }
        if let Some(at_most) = self.descriptors {
            builder = builder.descriptors(size(at_most));
        }
        if let Some(rate) = self.rate_per_agent {
            builder = builder.rate_per_agent(rate.into());
        }
        if let Some(rate) = self.rate {
            builder = builder.rate(rate.into());
        }
        match (self.any_uid, self.uids) {
            (true, _) => builder = builder.uids(Uids::Any),
            (false, Some(uids)) => builder = builder.uids(Uids::List(uids.into())),
            (false, None) => {}
        }
        Ok(builder)
    }
}
