//! Observers in invented time.

use std::net::IpAddr;

use napi::bindgen_prelude::{BigInt, BigUint64ArraySlice, External};
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{ExitCause, Simulated};

use crate::failure::{from_io, named};
use crate::observer::Settings;
use crate::record;
use crate::snapshot::{Agent, Stats};
use crate::sys::words;

exported! {
    /// An observer without sockets.
    fn simulated_new(settings: Settings) -> Result<External<Simulated>> {
        settings.builder()?.simulate().map(External::new).map_err(|error| from_io(&error))
    }
}

exported! {
    /// A datagram arrives from a process.
    fn simulated_feed(
        observer: &mut External<Simulated>,
        at_ns: BigInt,
        listener: u32,
        pid: u32,
        uid: u32,
        bytes: &[u8],
    ) -> Result<()> {
        let sender = Sender::Kernel { pid, uid, process: None };
        let datagram = Datagram::new(listener_of(listener)?, sender, bytes);
        observer.feed(at_ns.get_u64().1, &datagram);
        Ok(())
    }
}

exported! {
    /// A datagram arrives from an address.
    fn simulated_feed_from(
        observer: &mut External<Simulated>,
        at_ns: BigInt,
        listener: u32,
        address: String,
        sealed: bool,
        bytes: &[u8],
    ) -> Result<()> {
        let address: IpAddr = address
            .parse()
            .map_err(|_| named("22", format!("{address} is no numeric address")))?;
        let sender = Sender::Network { address, sealed };
        let datagram = Datagram::new(listener_of(listener)?, sender, bytes);
        observer.feed(at_ns.get_u64().1, &datagram);
        Ok(())
    }
}

fn listener_of(number: u32) -> crate::Result<u16> {
    u16::try_from(number).map_err(|_| named("22", format!("{number} is no listener")))
}

exported! {
    /// Everything up to then has been fed.
    fn simulated_advance(observer: &mut External<Simulated>, at_ns: BigInt) -> Result<()> {
        observer.advance(at_ns.get_u64().1);
        Ok(())
    }
}

exported! {
    /// A process has ended: `kind` is the cause's, `number` its code or signal.
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
    /// The observer comes late.
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
    /// Gives an agent a threshold of its own.
    fn simulated_set_threshold(
        observer: &mut External<Simulated>,
        agent: BigInt,
        threshold_ns: BigInt,
    ) -> Result<bool> {
        Ok(observer.set_threshold(agent.get_u64().1, threshold_ns.get_u64().1))
    }
}

exported! {
    /// Fills an array with events, and says how many they are.
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
    /// The agents that are followed.
    fn simulated_agents(observer: &mut External<Simulated>) -> Result<Vec<Agent>> {
        Ok(observer.snapshot().iter().map(Agent::from).collect())
    }
}

exported! {
    /// What has been counted.
    fn simulated_stats(observer: &mut External<Simulated>) -> Result<Stats> {
        Ok(Stats::from(&observer.stats()))
    }
}
