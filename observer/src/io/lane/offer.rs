//! Giving pages to processes, and refusing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use varta::internal::lane::layout::PAIRS;
use varta::internal::lane::message::{Message, PageOffer, Refused, TASKS_WANTED};

use super::connections::{Place, Stage};
use super::{Lanes, PATIENCE_NS};
use crate::judge::{Attached, PageIndex, Refusal};
use crate::sys;

pub(super) const NO_DESCRIPTOR: &str =
    "the observer has no free descriptor; raise its limit of open files";
const NO_MAPPING: &str = "the observer has too many mappings; raise vm.max_map_count";
const FAILED: &str = "the observer cannot share memory";

/// An agent's clock that differs by less than this from the observer's is the same clock.
const SAME_CLOCK_NS: u64 = 1_000_000_000;

impl Lanes {
    /// The monotonic clock of a process less the observer's: 0, unless it is in another time
    /// namespace. `sampled` is what its clock showed when it sent HELLO, which may have waited
    /// since the connection was made.
    pub(super) fn clock_offset(&self, place: Place, now: u64, sampled: u64) -> i64 {
        let made_after = self.connections.get(place).map_or(0, |found| found.made_after);
        let waited = now.saturating_sub(made_after);
        offset(sampled, sys::monotonic_ns(), waited)
    }

    /// Sends a page to the process of a connection. After an error it has none.
    pub(super) fn offer(
        &mut self,
        place: Place,
        attached: &Attached,
        clock_offset: i64,
        now: u64,
    ) -> Result<(), Refusal> {
        let page = attached.page;
        let message = Message::Page(PageOffer {
            offset: page.offset(),
            pairs: PAIRS,
            threshold_ns: attached.threshold_ns,
            clock_offset,
            flags: if attached.tasks { TASKS_WANTED } else { 0 },
        });
        let file = match self.prepared.take_if(|(prepared, _)| *prepared == page) {
            Some((_, file)) => file,
            None => self.make(page).map_err(|error| refusal(&error))?,
        };
        self.connections.set_page(place, page);
        self.connections.enter(place, Stage::Offered);
        self.postpone(place, now.saturating_add(PATIENCE_NS));
        let (bytes, length) = message.encode();
        if let (Some(socket), Some(bytes)) = (self.socket(place), bytes.get(..length)) {
            // If the process has ended the connection, that is found at the next look at it.
            let _ = sys::send(socket, bytes, [file.as_fd(), self.common.as_fd()]);
        }
        Ok(())
    }

    /// Makes the page that the next process gets, if there is one. If this fails, the page is made
    /// when it is needed, and then an error counts.
    pub(super) fn prepare(&mut self, page: Option<PageIndex>) {
        if let Some(page) = page.filter(|_| self.prepared.is_none()) {
            self.prepared = self.make(page).ok().map(|file| (page, file));
        }
    }

    /// Makes a page and maps it here.
    fn make(&mut self, page: PageIndex) -> io::Result<OwnedFd> {
        let file = sys::page_file()?;
        let mapped = self.pages.map(page.index(), file.as_fd());
        if mapped.is_err() {
            self.pages.unmap(page.index());
        }
        mapped.map(|()| file)
    }

    pub(super) fn refuse(&self, place: Place, errno: i32, reason: &str) {
        if let Some(socket) = self.socket(place) {
            send_refusal(socket, errno, reason);
        }
    }
}

/// Whether the process receives it is its own concern: without it, it sees only the end of
/// the connection.
pub(super) fn send_refusal(socket: BorrowedFd<'_>, errno: i32, reason: &str) {
    let (bytes, length) = Message::Refused(Refused::new(errno.unsigned_abs(), reason)).encode();
    if let Some(bytes) = bytes.get(..length) {
        let _ = sys::send_bytes(socket, bytes);
    }
}

fn refusal(error: &io::Error) -> Refusal {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let reason = match errno {
        libc::EMFILE | libc::ENFILE => NO_DESCRIPTOR,
        libc::ENOMEM => NO_MAPPING,
        _ => FAILED,
    };
    Refusal { errno, reason }
}

/// How far a clock that showed `sampled` is ahead of one that now shows `now`, if the sample
/// is at most `waited` old. A difference that the wait explains is none.
fn offset(sampled: u64, now: u64, waited: u64) -> i64 {
    let ahead = i64::try_from(i128::from(sampled) - i128::from(now)).unwrap_or(i64::MAX);
    let behind = waited.saturating_add(SAME_CLOCK_NS);
    let same = match ahead {
        0.. => ahead.unsigned_abs() < SAME_CLOCK_NS,
        _ => ahead.unsigned_abs() < behind,
    };
    if same { 0 } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn only_the_clock_of_another_time_namespace_has_an_offset() {
        for (sampled, now, waited, expected) in [
            (100 * S, 100 * S, 0, 0),
            (100 * S, 100 * S + 5, 10, 0),
            // The observer was stopped while HELLO waited.
            (100 * S, 105 * S, 5 * S, 0),
            (100 * S, 105 * S, S, -5_000_000_000),
            (105 * S, 100 * S, 5 * S, 5_000_000_000),
            (100 * S + S / 2, 100 * S, 0, 0),
            (0, 100 * S, S, -100_000_000_000),
            (u64::MAX, 0, 0, i64::MAX),
        ] {
            assert_eq!(offset(sampled, now, waited), expected, "{sampled} at {now}");
        }
    }
}
