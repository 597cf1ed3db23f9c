//! Simulated observers, for tests.

use std::net::IpAddr;

use napi::bindgen_prelude::{BigInt, BigUint64ArraySlice, Buffer, External};
use napi_derive::napi;
use varta_observer::judge::{Datagram, Namespace, Sender};
use varta_observer::{ExitCause, Simulated};

use crate::failure::{from_io, named};
use crate::observer::Settings;
use crate::record;
use crate::snapshot::{Agent, Stats};
use crate::sys::words;

exported! {
    /// Creates an observer without sockets.
    fn simulated_new(settings: Settings) -> Result<External<Simulated>> {
        settings.builder()?.simulate().map(External::new).map_err(|error| from_io(&error))
    }
}

/// A datagram from a process or, with an address, from a network.
#[napi(object)]
pub struct Arrival {
    /// The index of the listener at which it arrived.
    pub listener: u32,
    /// Its contents.
    pub bytes: Buffer,
    /// Whether it was longer than `bytes`.
    pub truncated: bool,
    /// Whether its control data was truncated.
    pub control_truncated: bool,
    /// The sender's pid in the observer's namespace.
    pub pid: u32,
    /// The uid of the sender.
    pub uid: u32,
    /// A number that no other process has or had.
    pub process: Option<BigInt>,
    /// The address of the sender.
    pub address: Option<String>,
    /// Whether it arrived at a listener for sealed frames.
    pub sealed: bool,
}

impl Arrival {
    fn sender(&self) -> crate::Result<Sender> {
        let Some(text) = &self.address else {
            let process = self.process.as_ref().map(|number| number.get_u64().1);
            return Ok(Sender::Kernel { pid: self.pid, uid: self.uid, process });
        };
        let address: IpAddr = text
            .parse()
            .map_err(|_| named("22", format!("{text} is not a numeric address")))?;
        Ok(Sender::Network { address, sealed: self.sealed })
    }
}

exported! {
    /// Passes in a datagram.
    fn simulated_feed(
        observer: &mut External<Simulated>,
        at_ns: BigInt,
        arrival: Arrival,
    ) -> Result<()> {
        let listener = u16::try_from(arrival.listener)
            .map_err(|_| named("22", format!("{} is not a listener", arrival.listener)))?;
        let mut datagram = Datagram::new(listener, arrival.sender()?, &arrival.bytes);
        datagram.truncated = arrival.truncated;
        datagram.control_truncated = arrival.control_truncated;
        observer.feed(at_ns.get_u64().1, &datagram);
        Ok(())
    }
}

exported! {
    /// Sets the pid namespace of a process: 0 the observer's, 1 another, 2 unknown.
    fn simulated_set_namespace(
        observer: &mut External<Simulated>,
        pid: u32,
        namespace: u32,
    ) -> Result<()> {
        let namespace = match namespace {
            0 => Namespace::Same,
            1 => Namespace::Other,
            _ => Namespace::Unknown,
        };
        observer.set_namespace(pid, namespace);
        Ok(())
    }
}

exported! {
    /// Advances the clock and checks deadlines.
    fn simulated_advance(
        observer: &mut External<Simulated>,
        at_ns: BigInt,
        full: bool,
    ) -> Result<()> {
        let at_ns = at_ns.get_u64().1;
        match full {
            false => observer.advance(at_ns),
            true => observer.advance_full(at_ns),
        }
        Ok(())
    }
}

exported! {
    /// Reports the exit of a process: `kind` is the cause, `number` the code or signal.
    fn simulated_exit(
        observer: &mut External<Simulated>,
        at_ns: BigInt,
        pid: u32,
        kind: u32,
        number: i32,
    ) -> Result<bool> {
        let cause = match kind {
            1 => ExitCause::Code(number),
            2 => ExitCause::Signal(number),
            _ => ExitCause::Unknown,
        };
        Ok(observer.exit(at_ns.get_u64().1, pid, cause))
    }
}

exported! {
    /// The observer polls only now, though it was due earlier.
    fn simulated_late(
        observer: &mut External<Simulated>,
        at_ns: BigInt,
        due_ns: BigInt,
    ) -> Result<()> {
        observer.late(at_ns.get_u64().1, due_ns.get_u64().1);
        Ok(())
    }
}

exported! {
    /// The system was suspended.
    fn simulated_suspended(
        observer: &mut External<Simulated>,
        at_ns: BigInt,
        ns: BigInt,
    ) -> Result<()> {
        observer.suspended(at_ns.get_u64().1, ns.get_u64().1);
        Ok(())
    }
}

exported! {
    /// Sets the threshold of one agent.
    fn simulated_set_threshold(
        observer: &mut External<Simulated>,
        agent: BigInt,
        threshold_ns: BigInt,
    ) -> Result<bool> {
        Ok(observer.set_threshold(agent.get_u64().1, threshold_ns.get_u64().1))
    }
}

exported! {
    /// Fills an array with events and returns their number.
    fn simulated_take(
        observer: &mut External<Simulated>,
        mut room: BigUint64ArraySlice<'_>,
    ) -> Result<u32> {
        let room = words(&mut room);
        let at_most = room.len() / record::WORDS;
        Ok(record::write(std::iter::from_fn(|| observer.poll()).take(at_most), room))
    }
}

exported! {
    /// Returns the tracked agents.
    fn simulated_agents(observer: &mut External<Simulated>) -> Result<Vec<Agent>> {
        Ok(observer.snapshot().iter().map(Agent::from).collect())
    }
}

exported! {
    /// Returns the counters.
    fn simulated_stats(observer: &mut External<Simulated>) -> Result<Stats> {
        Ok(Stats::from(&observer.stats()))
    }
}
