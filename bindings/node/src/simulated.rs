//! Simulated observers, for tests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use napi::bindgen_prelude::{BigInt, BigUint64ArraySlice, Buffer, External};
use napi_derive::napi;
use varta::internal::lane::layout::{Words, lines};
use varta_observer::judge::{Attaching, Datagram, Namespace, PageIndex, Sender};
use varta_observer::{ExitCause, Label, Simulated};

use crate::failure::{from_io, named};
use crate::observer::{Settings, SlackEntry, slack};
use crate::reading::{Reading, ReadingOfThread};
use crate::record::{self, Name};
use crate::snapshot::{Agent, Cause, Stats, Task};
use crate::sys::words;

/// A simulated observer, and the pages that it has given to processes.
pub struct Handle {
    observer: Simulated,
    pages: HashMap<u32, PageIndex>,
}

impl Handle {
    fn page(&self, number: u32) -> crate::Result<PageIndex> {
        self.pages
            .get(&number)
            .copied()
            .ok_or_else(|| named("22", format!("no process has the page {number}")))
    }
}

exported! {
    /// Creates an observer without sockets.
    fn simulated_new(settings: Settings) -> Result<External<Handle>> {
        let observer = settings.builder()?.simulate().map_err(|error| from_io(&error))?;
        Ok(External::new(Handle { observer, pages: HashMap::new() }))
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
    /// Whether the observer was woken by it.
    pub fresh: bool,
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
        observer: &mut External<Handle>,
        at_ns: BigInt,
        arrival: Arrival,
    ) -> Result<()> {
        let listener = u16::try_from(arrival.listener)
            .map_err(|_| named("22", format!("{} is not a listener", arrival.listener)))?;
        let mut datagram = Datagram::new(listener, arrival.sender()?, &arrival.bytes);
        datagram.truncated = arrival.truncated;
        datagram.control_truncated = arrival.control_truncated;
        observer.observer.set_fresh(arrival.fresh);
        observer.observer.feed(at_ns.get_u64().1, &datagram);
        Ok(())
    }
}

exported! {
    /// Sets the pid namespace of a process: 0 the observer's, 1 another, 2 unknown. In another
    /// it has the pid `innermost`, or whichever it names if that is 0.
    fn simulated_set_namespace(
        observer: &mut External<Handle>,
        pid: u32,
        namespace: u32,
        innermost: u32,
    ) -> Result<()> {
        match (namespace, innermost) {
            (0, _) => observer.observer.set_namespace(pid, Namespace::Same),
            (1, 0) => observer.observer.set_namespace(pid, Namespace::Other),
            (1, _) => observer.observer.set_innermost_pid(pid, innermost),
            _ => observer.observer.set_namespace(pid, Namespace::Unknown),
        }
        Ok(())
    }
}

exported! {
    /// Advances the clock and checks deadlines.
    fn simulated_advance(
        observer: &mut External<Handle>,
        at_ns: BigInt,
        full: bool,
    ) -> Result<()> {
        let at_ns = at_ns.get_u64().1;
        match full {
            false => observer.observer.advance(at_ns),
            true => observer.observer.advance_full(at_ns),
        }
        Ok(())
    }
}

exported! {
    /// Reports the exit of a process: `kind` is the cause, `number` the code or signal.
    fn simulated_exit(
        observer: &mut External<Handle>,
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
        Ok(observer.observer.exit(at_ns.get_u64().1, pid, cause))
    }
}

exported! {
    /// The observer polls only now, though it was due earlier.
    fn simulated_late(
        observer: &mut External<Handle>,
        at_ns: BigInt,
        due_ns: BigInt,
    ) -> Result<()> {
        observer.observer.late(at_ns.get_u64().1, due_ns.get_u64().1);
        Ok(())
    }
}

exported! {
    /// The system was suspended.
    fn simulated_suspended(
        observer: &mut External<Handle>,
        at_ns: BigInt,
        ns: BigInt,
    ) -> Result<()> {
        observer.observer.suspended(at_ns.get_u64().1, ns.get_u64().1);
        Ok(())
    }
}

exported! {
    /// Sets the threshold of one agent.
    fn simulated_set_threshold(
        observer: &mut External<Handle>,
        agent: BigInt,
        threshold_ns: BigInt,
    ) -> Result<bool> {
        Ok(observer.observer.set_threshold(agent.get_u64().1, threshold_ns.get_u64().1))
    }
}

exported! {
    /// Sets what can be read of a process, without its threads.
    fn simulated_set_reading(
        observer: &mut External<Handle>,
        pid: u32,
        reading: Reading,
    ) -> Result<()> {
        let sample = reading.sample()?;
        observer.observer.set_slow_reading(pid, &sample, reading.spent_ns());
        Ok(())
    }
}

exported! {
    /// Adds a thread to what can be read of a process.
    fn simulated_add_thread_reading(
        observer: &mut External<Handle>,
        pid: u32,
        reading: ReadingOfThread,
    ) -> Result<()> {
        let thread = reading.thread()?;
        match observer.observer.reading_mut(pid).map(|reading| reading.push(thread)) {
            Some(true) => Ok(()),
            Some(false) => Err(named("28", format!("the process {pid} has 64 threads"))),
            None => Err(named("3", format!("the process {pid} has no reading"))),
        }
    }
}

/// A process that asks for a page.
#[napi(object)]
pub struct Process {
    /// Its pid in the observer's namespace.
    pub pid: u32,
    /// Its uid.
    pub uid: u32,
    /// A number that no other process has or had.
    pub process: Option<BigInt>,
    /// The pid that it claims.
    pub claimed_pid: u32,
    /// Its last nonce.
    pub nonce: BigInt,
    /// Its clock less the observer's.
    pub clock_offset: BigInt,
}

/// The answer to a process that may have a page.
#[napi(object)]
pub struct Page {
    /// The number of the page.
    pub page: u32,
    /// How long the process may be silent.
    pub threshold_ns: BigInt,
    /// Whether its tasks are followed.
    pub tasks: bool,
}

exported! {
    /// Gives a process a page.
    fn simulated_attach(
        observer: &mut External<Handle>,
        at_ns: BigInt,
        process: Process,
    ) -> Result<Page> {
        let attaching = Attaching {
            pid: process.pid,
            uid: process.uid,
            process: process.process.map(|number| number.get_u64().1),
            claimed_pid: process.claimed_pid,
            nonce: process.nonce.get_u64().1,
            clock_offset: process.clock_offset.get_i64().0,
        };
        let attached = observer
            .observer
            .attach(at_ns.get_u64().1, &attaching)
            .map_err(|refusal| named(&refusal.errno.to_string(), refusal.reason))?;
        let page = u32::try_from(attached.page.index())
            .map_err(|_| named("12", "there are too many pages"))?;
        observer.pages.insert(page, attached.page);
        Ok(Page { page, threshold_ns: attached.threshold_ns.into(), tasks: attached.tasks })
    }
}

exported! {
    /// The process has mapped its page.
    fn simulated_mapped(
        observer: &mut External<Handle>,
        at_ns: BigInt,
        page: u32,
    ) -> Result<()> {
        let page = observer.page(page)?;
        observer.observer.mapped(at_ns.get_u64().1, page);
        Ok(())
    }
}

exported! {
    /// The process asks for a look at its page.
    fn simulated_bell(observer: &mut External<Handle>, at_ns: BigInt, page: u32) -> Result<()> {
        let page = observer.page(page)?;
        observer.observer.bell(at_ns.get_u64().1, page);
        Ok(())
    }
}

exported! {
    /// The process gives up its page.
    fn simulated_detach(
        observer: &mut External<Handle>,
        at_ns: BigInt,
        page: u32,
    ) -> Result<()> {
        let index = observer.page(page)?;
        observer.observer.detach(at_ns.get_u64().1, index);
        observer.pages.remove(&page);
        Ok(())
    }
}

exported! {
    /// Writes the eight words of a cold or a hot line of a page.
    fn simulated_write_line(
        observer: &mut External<Handle>,
        page: u32,
        pair: u32,
        hot: bool,
        mut line: BigUint64ArraySlice<'_>,
    ) -> Result<()> {
        let index = observer.page(page)?;
        let written: &Words = (*words(&mut line))
            .try_into()
            .map_err(|_| named("22", "a line has eight words"))?;
        // An exit has released the page of the process.
        let place = observer.observer.page(index).and_then(|words| {
            let (cold, own) = lines(words, index.offset(), pair)?;
            Some(if hot { own } else { cold })
        });
        let Some(place) = place else {
            return Err(named("22", format!("the page {page} has no pair {pair}")));
        };
        for (place, word) in place.iter().zip(written) {
            place.store(*word, Ordering::Relaxed);
        }
        Ok(())
    }
}

exported! {
    /// A thread of a process has ended.
    fn simulated_thread_gone(
        observer: &mut External<Handle>,
        pid: u32,
        thread: u32,
    ) -> Result<()> {
        observer.observer.thread_gone(pid, thread);
        Ok(())
    }
}

exported! {
    /// Sets the name of the program of a process.
    fn simulated_set_program(
        observer: &mut External<Handle>,
        pid: u32,
        name: String,
    ) -> Result<()> {
        observer.observer.set_program(pid, &name);
        Ok(())
    }
}

exported! {
    /// Sets the name that a process declares.
    fn simulated_set_name(
        observer: &mut External<Handle>,
        pid: u32,
        name: String,
    ) -> Result<()> {
        observer.observer.set_name(pid, Label::new(name.as_bytes()));
        Ok(())
    }
}

exported! {
    /// Sets how late tasks may be.
    fn simulated_set_slack(
        observer: &mut External<Handle>,
        entries: Vec<SlackEntry>,
    ) -> Result<()> {
        observer.observer.set_slack(&slack(entries));
        Ok(())
    }
}

exported! {
    /// Returns why an agent, or one of its tasks, is silent.
    fn simulated_cause(
        observer: &mut External<Handle>,
        agent: BigInt,
        task: u32,
    ) -> Result<Option<Cause>> {
        Ok(observer.observer.cause(agent.get_u64().1, task).as_ref().map(Cause::from))
    }
}

exported! {
    /// Returns the tasks of an agent.
    fn simulated_tasks(observer: &mut External<Handle>, agent: BigInt) -> Result<Vec<Task>> {
        Ok(observer.observer.tasks(agent.get_u64().1).iter().map(Task::from).collect())
    }
}

exported! {
    /// Fills an array with events and returns their number.
    fn simulated_take(
        observer: &mut External<Handle>,
        mut room: BigUint64ArraySlice<'_>,
    ) -> Result<u32> {
        let room = words(&mut room);
        let at_most = room.len() / record::WORDS;
        let next = || {
            let event = observer.observer.poll()?;
            let label = event.about.map(|about| observer.observer.label(about.agent));
            Some((event, label.map(|label| Name { label, alone: true })))
        };
        Ok(record::write(std::iter::from_fn(next).take(at_most), room))
    }
}

exported! {
    /// Returns the tracked agents.
    fn simulated_agents(observer: &mut External<Handle>) -> Result<Vec<Agent>> {
        Ok(observer.observer.snapshot().iter().map(Agent::from).collect())
    }
}

exported! {
    /// Returns the counters.
    fn simulated_stats(observer: &mut External<Handle>) -> Result<Stats> {
        Ok(Stats::from(&observer.observer.stats()))
    }
}
