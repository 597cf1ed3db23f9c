//! Keep-alives for the watchdog of the service manager.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::ServiceManager;
use crate::fork::{ForkGuard, Process};
use crate::sys;

const MESSAGE: &[u8] = b"WATCHDOG=1";

/// When keep-alives are due, and the socket that sends them.
pub(super) struct Watchdog {
    /// The earliest time of the next keep-alive; `u64::MAX` for none any more.
    pub(super) due: AtomicU64,
    /// The time within which the service manager wants one.
    interval_ns: u64,
    socket: UnixDatagram,
    fork_guard: &'static ForkGuard,
    /// The process that sends them. Its children do not.
    process: Process,
    /// Whether it was reported that beats come too seldom.
    is_reported: AtomicBool,
}

impl Watchdog {
    /// The first one is due at once.
    pub(super) fn new(interval_ns: u64) -> io::Result<Self> {
        let socket = sys::past_the_standard_streams(UnixDatagram::unbound()?.into())?;
        let socket = UnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        let fork_guard = ForkGuard::of_process()?;
        Ok(Self {
            due: AtomicU64::new(0),
            interval_ns,
            socket,
            fork_guard,
            process: fork_guard.process().ok_or(io::ErrorKind::WouldBlock)?,
            is_reported: AtomicBool::new(false),
        })
    }

    /// Sends a keep-alive, unless another thread does so. One that cannot be sent is tried again
    /// by a later beat.
    pub(super) fn keep_alive(&self, now: u64, manager: &ServiceManager) {
        if !self.fork_guard.is_still(self.process) {
            return self.due.store(u64::MAX, Ordering::Relaxed);
        }
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(self.interval_ns / 2);
        if now < due || !self.replace(due, next) {
            return;
        }
        let wait_ns = match self.send(now, due, manager) {
            Ok(()) => return,
            // The queue of the service manager is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.interval_ns / 32,
            Err(_) => self.interval_ns / 4,
        };
        self.replace(next, now.saturating_add(wait_ns));
    }

    /// A beat came that is no reason for a keep-alive.
    pub(super) fn pass_over(&self, now: u64) {
        let due = self.due.load(Ordering::Relaxed);
        if due != 0 && due < now {
            self.replace(due, now);
        }
    }

    fn replace(&self, seen: u64, due: u64) -> bool {
        self.due.compare_exchange(seen, due, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn send(&self, now: u64, due: u64, manager: &ServiceManager) -> io::Result<()> {
        let late_ns = if due == 0 { 0 } else { now - due };
        // With beats this far apart, a slightly longer time between two of them is too long.
        if late_ns > self.interval_ns / 4 && !self.is_reported.load(Ordering::Relaxed) {
            let sent = self.send_bytes(Report::new(late_ns, self.interval_ns).bytes(), manager);
            self.is_reported.store(sent.is_ok(), Ordering::Relaxed);
            return sent;
        }
        self.send_bytes(MESSAGE, manager)
    }

    fn send_bytes(&self, message: &[u8], manager: &ServiceManager) -> io::Result<()> {
        match self.socket.send_to_addr(message, &manager.address) {
            // The program has closed all descriptors that it does not know.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK)) =>
            {
                manager.send(message)
            }
            result => result.map(|_| ()),
        }
    }

    /// Sends none from now on. Returns when the next one was due.
    pub(super) fn stop(&self) -> u64 {
        self.due.swap(u64::MAX, Ordering::Relaxed)
    }

    /// Undoes [`stop`](Self::stop).
    pub(super) fn go_on(&self, due: u64) {
        self.due.store(due, Ordering::Relaxed);
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.due.load(Ordering::Relaxed) {
            u64::MAX => f.write_str("ended"),
            _ => write!(f, "every {:?}", Duration::from_nanos(self.interval_ns / 2)),
        }
    }
}

/// A keep-alive with a status text, which tells the operator that beats come too seldom. The
/// library has no other way to report it.
struct Report {
    bytes: [u8; 192],
    length: usize,
}

impl Report {
    fn new(late_ns: u64, interval_ns: u64) -> Self {
        let mut report = Self { bytes: [0; 192], length: 0 };
        let gap_ns = late_ns.saturating_add(interval_ns / 2);
        let [gap, limit, wanted] =
            [gap_ns, interval_ns, interval_ns / 4].map(Duration::from_nanos);
        let mut rest = report.bytes.as_mut_slice();
        let room = rest.len();
        let _ = write!(
            rest,
            "WATCHDOG=1\nSTATUS=The last keep-alives came {gap:.1?} apart, of at most {limit:.1?}: \
             beat at least every {wanted:.1?}",
        );
        report.length = room - rest.len();
        report
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::SocketAddr;
    use std::path::PathBuf;

    /// The socket of a service manager, and its path.
    fn manager(name: &str) -> (UnixDatagram, PathBuf, ServiceManager) {
        let path = std::env::temp_dir().join(format!("varta-{name}-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = SocketAddr::from_pathname(&path).unwrap();
        (socket, path, ServiceManager { address, watchdog: None })
    }

    #[test]
    fn the_next_keep_alive_is_due_after_half_of_the_interval_or_a_part_of_it_if_one_failed() {
        let (socket, path, manager) = manager("due");
        let watchdog = Watchdog::new(3_200).unwrap();
        let due = |now| {
            watchdog.keep_alive(now, &manager);
            watchdog.due.load(Ordering::Relaxed)
        };
        assert_eq!([due(10_000), due(11_599), due(11_600)], [11_600, 11_600, 13_200]);
        while manager.send(b"X_FILLER=1").is_ok() {}
        assert_eq!([due(13_250), due(13_350)], [13_350, 13_450]);
        drop(socket);
        assert_eq!(due(13_450), 14_250);
        std::fs::remove_file(path).unwrap();
        assert_eq!(due(14_250), 15_050);
        assert_eq!(watchdog.stop(), 15_050);
        assert_eq!(due(90_000), u64::MAX);
    }

    #[test]
    fn only_beats_that_come_too_seldom_are_reported() {
        let (socket, path, manager) = manager("seldom");
        let watchdog = Watchdog::new(4_000).unwrap();
        let sent = |now| {
            watchdog.keep_alive(now, &manager);
            let mut room = [0; 256];
            let length = socket.recv(&mut room).unwrap();
            room.get(..length).unwrap().starts_with(b"WATCHDOG=1\n")
        };
        // The first one, one that is a quarter late, and one after beats that were passed over.
        assert!(!sent(90_000) && !sent(93_000));
        [96_000, 99_000].into_iter().for_each(|now| watchdog.pass_over(now));
        assert!(!sent(99_900));
        assert!(sent(102_901) && !sent(106_000));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_report_is_a_keep_alive_whatever_its_numbers() {
        let report = Report::new(2_200_000_000, 4_000_000_000);
        assert_eq!(
            std::str::from_utf8(report.bytes()).unwrap(),
            "WATCHDOG=1\nSTATUS=The last keep-alives came 4.2s apart, of at most 4.0s: beat at \
             least every 1.0s"
        );
        let longest = Report::new(u64::MAX / 2, u64::MAX);
        assert!(longest.bytes().ends_with(b"s"));
    }
}
