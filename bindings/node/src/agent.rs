//! Agents of either wire version and any transport.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use napi::bindgen_prelude::External;
use varta::secure::Key;
use varta::{
    AnyTransport, BeatOutcome, BeatTransport, Endpoint, Options, SecureUdpTransport, Status,
    Task, TaskOptions, TaskReport, Varta, classify_send_error, v1,
};

use crate::failure::{closed, errno, from_io, named};
use crate::sys::{Answer, Arguments, Call};

/// An agent, whatever its version and transport.
trait Agent: Send {
    fn beat(&mut self, status: Status, payload: u64) -> BeatOutcome;
    fn reconnect(&mut self) -> io::Result<()>;
    fn set_reconnect_after(&mut self, drops: u32);
    fn clock_regressions(&self) -> u64;
    fn fork_recoveries(&self) -> u64;
    fn ready(&self) -> BeatOutcome;
    fn stopping(&self) -> BeatOutcome;
    fn status(&self, text: &str) -> BeatOutcome;

    /// Version 1 has neither a lane nor tasks.
    fn watched(&self) -> Option<Duration> {
        None
    }
    fn task(&self, _name: &str, _options: TaskOptions) -> io::Result<Task> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn tasks(&self) -> Vec<TaskReport> {
        Vec::new()
    }
}

macro_rules! agent {
    ($agent:ty, $payload:expr, { $($of_version:item)* }) => {
        impl<T: BeatTransport> Agent for $agent {
            fn beat(&mut self, status: Status, payload: u64) -> BeatOutcome {
                self.beat(status, $payload(payload))
            }
            fn reconnect(&mut self) -> io::Result<()> {
                self.reconnect()
            }
            fn set_reconnect_after(&mut self, drops: u32) {
                self.set_reconnect_after(drops);
            }
            fn clock_regressions(&self) -> u64 {
                self.clock_regressions()
            }
            fn fork_recoveries(&self) -> u64 {
                self.fork_recoveries()
            }
            fn ready(&self) -> BeatOutcome {
                self.ready()
            }
            fn stopping(&self) -> BeatOutcome {
                self.stopping()
            }
            fn status(&self, text: &str) -> BeatOutcome {
                self.status(text)
            }
            $($of_version)*
        }
    };
}

// lib/ has checked that the payload of version 2 fits.
agent!(Varta<T>, |payload| u32::try_from(payload).unwrap_or(u32::MAX), {
    fn watched(&self) -> Option<Duration> {
        self.watched()
    }
    fn task(&self, name: &str, options: TaskOptions) -> io::Result<Task> {
        self.task_with(name, options)
    }
    fn tasks(&self) -> Vec<TaskReport> {
        self.tasks().collect()
    }
});
agent!(v1::Varta<T>, |payload: u64| payload, {});

/// An agent, or None after it was closed. Each call takes it out while it runs, so that a panic
/// closes it.
pub struct Handle(Option<Box<dyn Agent>>);

impl Handle {
    fn new(agent: impl Agent + 'static) -> External<Self> {
        External::new(Self(Some(Box::new(agent))))
    }

    /// Declares a task.
    pub(crate) fn task(&mut self, name: &str, options: TaskOptions) -> crate::Result<Task> {
        self.with(|agent| agent.task(name, options))?.map_err(|error| from_io(&error))
    }

    /// The tasks of this process.
    pub(crate) fn tasks(&mut self) -> crate::Result<Vec<TaskReport>> {
        self.with(|agent| agent.tasks())
    }

    fn with<R>(&mut self, call: impl FnOnce(&mut dyn Agent) -> R) -> crate::Result<R> {
        let mut agent = self.0.take().ok_or_else(closed)?;
        #[cfg(feature = "provoke")]
        crate::exported::provoke("agent");
        let result = call(&mut *agent);
        self.0 = Some(agent);
        Ok(result)
    }
}

exported! {
    /// Creates an agent for any endpoint. With `follow` it reconnects by itself.
    fn agent_open(
        endpoint: String,
        follow: bool,
        reconnect_after: u32,
        lane: bool,
        name: String,
        notify: bool,
        version1: bool,
    ) -> Result<External<Handle>> {
        let endpoint = parse(&endpoint)?;
        let options = Options::default()
            .follow(follow)
            .reconnect_after(reconnect_after)
            .lane(lane)
            .name(&name)
            .notify(notify);
        if version1 {
            v1::Varta::open_with(&endpoint, options).map(Handle::new)
        } else {
            Varta::open_with(&endpoint, options).map(Handle::new)
        }
        .map_err(|error| from_io(&error))
    }
}

exported! {
    /// Creates an agent for a path, to which an observer must be bound.
    fn agent_connect_uds(path: String, version1: bool) -> Result<External<Handle>> {
        connect(&Endpoint::Path(path.into()), version1)
    }
}

exported! {
    /// Creates an agent for a UDP address.
    fn agent_connect_udp(address: String, version1: bool) -> Result<External<Handle>> {
        connect(&Endpoint::Udp(socket_address(&address)?), version1)
    }
}

exported! {
    /// Creates an agent for a UDP address that seals with a shared key, or with one that is
    /// derived from a master key.
    fn agent_connect_secure_udp(
        address: String,
        key: &[u8],
        master: bool,
    ) -> Result<External<Handle>> {
        let (address, key) = (socket_address(&address)?, secret(key)?);
        if master {
            SecureUdpTransport::connect_with_master(address, key)
        } else {
            SecureUdpTransport::connect(address, key)
        }
        .and_then(Varta::with_transport)
        .map(Handle::new)
        .map_err(|error| from_io(&error))
    }
}

fn connect(endpoint: &Endpoint, version1: bool) -> crate::Result<External<Handle>> {
    let transport = AnyTransport::connect(endpoint);
    if version1 {
        transport.and_then(v1::Varta::with_transport).map(Handle::new)
    } else {
        transport.and_then(Varta::with_transport).map(Handle::new)
    }
    .map_err(|error| from_io(&error))
}

/// Sends a beat of the agent, with a status and a payload.
pub(crate) struct Beat;

impl Call for Beat {
    const NAME: &'static str = "agent_beat";

    fn call(arguments: &mut Arguments) -> crate::Result<Answer> {
        let (status, payload) = (status_of(arguments.whole(1)?)?, arguments.whole(2)?);
        let agent = arguments.handle::<Handle>(0)?;
        agent.with(|agent| answer(agent.beat(status, payload.into())))
    }
}

exported! {
    /// Like `agentBeat`, with the payload of version 1.
    fn agent_beat_v1(
        agent: &mut External<Handle>,
        status: u32,
        payload: napi::bindgen_prelude::BigInt,
    ) -> Result<i32> {
        let status = status_of(status)?;
        agent.with(|agent| number(agent.beat(status, payload.get_u64().1)))
    }
}

exported! {
    /// Tells the service manager that the process works.
    fn agent_ready(agent: &mut External<Handle>) -> Result<i32> {
        agent.with(|agent| number(agent.ready()))
    }
}

exported! {
    /// Tells the service manager that the process is shutting down.
    fn agent_stopping(agent: &mut External<Handle>) -> Result<i32> {
        agent.with(|agent| number(agent.stopping()))
    }
}

exported! {
    /// Tells the service manager in words what the process does.
    fn agent_status(agent: &mut External<Handle>, text: String) -> Result<i32> {
        agent.with(|agent| number(agent.status(&text)))
    }
}

exported! {
    /// Starts a new session.
    fn agent_reconnect(agent: &mut External<Handle>) -> Result<()> {
        agent.with(|agent| agent.reconnect())?.map_err(|error| from_io(&error))
    }
}

exported! {
    /// Makes a beat reconnect after this many drops.
    fn agent_set_reconnect_after(agent: &mut External<Handle>, drops: u32) -> Result<()> {
        agent.with(|agent| agent.set_reconnect_after(drops))
    }
}

exported! {
    /// Returns the clock regressions and the fork recoveries.
    fn agent_counts(agent: &mut External<Handle>) -> Result<Vec<u64>> {
        agent.with(|agent| vec![agent.clock_regressions(), agent.fork_recoveries()])
    }
}

exported! {
    /// Returns how many milliseconds ago the observer looked at the beats.
    fn agent_watched(agent: &mut External<Handle>) -> Result<Option<f64>> {
        agent.with(|agent| agent.watched().map(|ago| ago.as_secs_f64() * 1e3))
    }
}

exported! {
    /// Closes the agent. A second call has no effect.
    fn agent_close(agent: &mut External<Handle>) -> Result<()> {
        agent.0 = None;
        Ok(())
    }
}

exported! {
    /// Returns the number of the outcome for a send's errno.
    fn classify_errno(errno: i32) -> Result<i32> {
        Ok(number(classify_send_error(&io::Error::from_raw_os_error(errno))))
    }
}

/// An outcome for JavaScript: nothing for Sent.
pub(crate) fn answer(outcome: BeatOutcome) -> Answer {
    match number(outcome) {
        0 => Answer::Nothing,
        number => Answer::Whole(number),
    }
}

/// An outcome as one number: 0 for sent, the number of a drop reason, or the negative errno of a
/// failure.
pub(crate) fn number(outcome: BeatOutcome) -> i32 {
    match outcome {
        BeatOutcome::Sent => 0,
        BeatOutcome::Dropped(reason) => reason as i32,
        BeatOutcome::Failed(error) => -errno(error),
    }
}

pub(crate) fn status_of(number: u32) -> crate::Result<Status> {
    u8::try_from(number)
        .ok()
        .and_then(Status::from_wire)
        .ok_or_else(|| named("22", format!("{number} is not a status")))
}

pub(crate) fn parse(endpoint: &str) -> crate::Result<Endpoint> {
    endpoint.parse().map_err(|error: varta::EndpointError| from_io(&error.into()))
}

pub(crate) fn socket_address(text: &str) -> crate::Result<SocketAddr> {
    text.parse().map_err(|_| named("22", format!("{text} is not a numeric address and port")))
}

pub(crate) fn secret(bytes: &[u8]) -> crate::Result<Key> {
    let bytes = bytes.try_into().map_err(|_| named("22", "expected a key of 32 bytes"))?;
    Ok(Key::from_bytes(bytes))
}
