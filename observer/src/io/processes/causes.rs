//! Reading the processes of agents, to find out why they are silent.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::Processes;
use crate::io::causes::{NotYet, Readers};
use crate::io::identity::{self, Presence, ProcessHandle};
use crate::judge::{Depth, Found, Lacks, Looked, Sample, Slot, ThreadReading};
use crate::sys;

/// In each period, an observer waits at most this long for readings.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
const WAIT_PERIOD: Duration = Duration::from_millis(100);

impl Processes {
    /// From now on, silent processes are read.
    pub(crate) fn add_readers(&mut self) -> io::Result<()> {
        self.readers = Some(Box::new(Readers::new(LONGEST_WAIT, WAIT_PERIOD)?));
        Ok(())
    }

    /// How many threads that read processes were lost.
    pub(crate) fn lost_readers(&self) -> u64 {
        self.readers.as_ref().map_or(0, |readers| readers.lost())
    }

    pub(super) fn read_process_now(
        &mut self,
        slot: Slot,
        pid: u32,
        depth: Depth,
        wanted: &[u32],
        sample: &mut Sample,
    ) -> Looked {
        timed(|| {
            let has_table = self.features.table && pid != 0;
            let Some(readers) = self.readers.as_mut().filter(|_| has_table) else {
                sample.clear();
                return Found::Hidden;
            };
            let read = match readers.read(pid, depth, wanted, sample) {
                Ok(read) => read,
                Err(not) => return not.into(),
            };
            if depth < Depth::Half && read.is_ok() {
                return Found::Read;
            }
            // Checked last: while the process runs, no other one has its pid.
            match self.is_running(slot, pid) {
                Some(false) => Found::Ended,
                Some(true) if read.is_ok() => Found::Read,
                // Without a descriptor, another process may have been read.
                None if read.is_ok() && depth < Depth::Whole => Found::Read,
                _ => Found::Hidden,
            }
        })
    }

    pub(super) fn read_thread_now(
        &mut self,
        pid: u32,
        thread: &mut ThreadReading,
        lacks: &mut Lacks,
    ) -> Looked {
        timed(|| {
            let Some(readers) = &mut self.readers else { return Found::Hidden };
            match readers.read_wait(pid, thread, lacks) {
                Ok(Ok(())) => Found::Read,
                Ok(Err(error)) if means_no_thread(&error) => Found::Ended,
                Ok(Err(_)) => Found::Hidden,
                Err(not) => not.into(),
            }
        })
    }

    /// `None` if it cannot be known.
    fn is_running(&self, slot: Slot, pid: u32) -> Option<bool> {
        let followed = self.followed.get(slot.index())?;
        if let Some(handle) = &followed.handle {
            return Some(!handle.is_gone());
        }
        if let Some(handle) = self.connected(slot) {
            return Some(!ProcessHandle::is_gone(&handle));
        }
        match identity::look_up(self.features, pid, followed.identity?) {
            Presence::There => Some(true),
            Presence::Gone | Presence::Replaced => Some(false),
            Presence::CannotTell => None,
        }
    }
}

impl From<NotYet> for Found {
    fn from(not: NotYet) -> Self {
        match not {
            NotYet::Late => Self::Late,
            NotYet::Stuck(pid) => Self::Stuck(pid),
        }
    }
}

fn timed(read: impl FnOnce() -> Found) -> Looked {
    let began = sys::monotonic_ns();
    let found = read();
    Looked { found, spent_ns: sys::monotonic_ns().saturating_sub(began) }
}

/// Whether this error means that there is no such thread any more.
fn means_no_thread(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}
