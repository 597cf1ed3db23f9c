//! Reading the processes of agents, to find out why they are silent.

use std::io::{self, ErrorKind};

use super::Processes;
use crate::io::causes::Reader;
use crate::io::identity::{self, Presence, ProcessHandle};
use crate::judge::{Depth, Found, Lacks, Looked, Sample, Slot, ThreadReading};
use crate::sys;

impl Processes {
    /// From now on, silent processes are read.
    pub(crate) fn add_reader(&mut self, reader: Reader) {
        self.reader = Some(Box::new(reader));
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
            let Some(reader) = self.reader.as_mut().filter(|_| has_table) else {
                sample.clear();
                return Found::Hidden;
            };
            let read = reader.read(pid, depth, wanted, sample);
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
            let Some(reader) = &mut self.reader else { return Found::Hidden };
            match reader.read_wait(pid, thread, lacks) {
                Ok(()) => Found::Read,
                Err(error) if means_no_thread(&error) => Found::Ended,
                Err(_) => Found::Hidden,
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

fn timed(read: impl FnOnce() -> Found) -> Looked {
    let began = sys::monotonic_ns();
    let found = read();
    Looked { found, spent_ns: sys::monotonic_ns().saturating_sub(began) }
}

/// Whether this error means that there is no such thread any more.
fn means_no_thread(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}
