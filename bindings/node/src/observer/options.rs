//! How an observer is to be, as JavaScript says it.

use std::time::Duration;

use napi::bindgen_prelude::{BigInt, Buffer};
use napi_derive::napi;
use varta_observer::{Builder, Rate, Uids};

use crate::agent::{parse, secret, socket_address};

/// So many a second, and so many at once.
#[napi(object)]
#[derive(Debug)]
pub struct Pace {
    /// In the long run.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl From<Pace> for Rate {
    fn from(pace: Pace) -> Self {
        Self { per_second: pace.per_second, burst: pace.burst }
    }
}

/// Everything about an observer; what is absent is left at its default.
#[napi(object)]
#[derive(Default)]
pub struct Settings {
    /// Where it listens.
    pub endpoints: Vec<String>,
    /// Addresses for plain beats, with a port of 0 for one of the kernel's choosing.
    pub udp: Vec<String>,
    /// Addresses for sealed beats, the keys of which are given apart.
    pub secure_udp: Vec<String>,
    /// How long an agent may be silent.
    pub threshold_ns: Option<BigInt>,
    /// How late the observer may be.
    pub pause_after_ns: Option<BigInt>,
    /// How many agents it follows.
    pub capacity: Option<u32>,
    /// The mode of the socket's file.
    pub socket_mode: Option<u32>,
    /// The kernel's buffers.
    pub receive_buffer: Option<u32>,
    /// Whose beats count.
    pub uids: Option<Vec<u32>>,
    /// Whether everyone's do.
    pub any_uid: bool,
    /// Whether other pid namespaces are admitted.
    pub namespaces: bool,
    /// Whether version 1 is taken.
    pub version1: bool,
    /// Of one agent.
    pub rate_per_agent: Option<Pace>,
    /// Of all together.
    pub rate: Option<Pace>,
    /// Keys of sealed beats.
    pub shared_keys: Vec<Buffer>,
    /// The key from which each agent's own is derived.
    pub master_key: Option<Buffer>,
    /// Where sealed sessions outlive the observer.
    pub secure_state_file: Option<String>,
    /// Whether processes are followed to their end.
    pub detect_exits: bool,
    /// How many descriptors that may take.
    pub descriptors: Option<u32>,
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
            .detect_exits(self.detect_exits);
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
