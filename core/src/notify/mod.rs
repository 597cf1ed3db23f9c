//! Notifications to the service manager that has started this process, in the protocol
//! `sd_notify` of systemd.

mod environment;
mod text;
mod watchdog;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use environment::Environment;
use text::StatusLine;
use watchdog::Watchdog;

use crate::endpoint::resolve;
use crate::outcome::{BeatOutcome, DropReason, classify_send_error};
use crate::sys::List;

/// What an agent may send to the service manager.
#[derive(Clone, Copy)]
pub(crate) struct Notify {
    manager: Option<&'static ServiceManager>,
    /// When a beat has to send a keep-alive.
    due: &'static AtomicU64,
}

/// The time of an agent that sends no keep-alives.
static NEVER: AtomicU64 = AtomicU64::new(u64::MAX);

impl Notify {
    const OFF: Self = Self { manager: None, due: &NEVER };

    /// What the environment permits, for an agent of this endpoint. `wanted` is whether the
    /// program has turned notifications on.
    pub(crate) fn of(endpoint: Option<&OsStr>, wanted: bool) -> io::Result<Self> {
        if !wanted && !environment::wants_notifications() {
            return Ok(Self::OFF);
        }
        let Some(manager) = ServiceManager::of_process()? else { return Ok(Self::OFF) };
        let due = match &manager.watchdog {
            Some(watchdog) if !manager.is_observer_of(endpoint) => &watchdog.due,
            _ => &NEVER,
        };
        Ok(Self { manager: Some(manager), due })
    }

    /// Whether a beat has to send a keep-alive. All beats ask this.
    #[inline]
    pub(crate) fn is_due(&self, now: u64) -> bool {
        now >= self.due.load(Ordering::Relaxed)
    }

    /// Sends a keep-alive, if the beat that is made is a reason for one.
    pub(crate) fn keep_alive(&self, now: u64, is_reason: bool) {
        let Some(manager) = self.manager else { return };
        match &manager.watchdog {
            Some(watchdog) if is_reason => watchdog.keep_alive(now, manager),
            Some(watchdog) => watchdog.pass_over(now),
            None => {}
        }
    }

    pub(crate) fn ready(&self) -> BeatOutcome {
        self.send(b"READY=1")
    }

    /// No keep-alive follows it.
    pub(crate) fn stopping(&self) -> BeatOutcome {
        let watchdog = self.manager.and_then(|manager| manager.watchdog.as_ref());
        let before = watchdog.map(Watchdog::stop);
        let outcome = self.send(b"STOPPING=1");
        if let (Some((watchdog, before)), true) =
            (watchdog.zip(before), outcome != BeatOutcome::Sent)
        {
            watchdog.go_on(before);
        }
        outcome
    }

    pub(crate) fn status(&self, text: &str) -> BeatOutcome {
        self.send(StatusLine::new(text).bytes())
    }

    fn send(&self, message: &[u8]) -> BeatOutcome {
        let Some(manager) = self.manager else {
            return BeatOutcome::Dropped(DropReason::NotConfigured);
        };
        match manager.send(message) {
            Ok(()) => BeatOutcome::Sent,
            Err(error) => classify_send_error(&error),
        }
    }
}

/// Shows how often keep-alives are due, or why the agent sends no keep-alives.
impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(manager) = self.manager else { return f.write_str("off") };
        match &manager.watchdog {
            None => f.write_str("no WATCHDOG_USEC for this process"),
            Some(_) if std::ptr::eq(self.due, &raw const NEVER) => {
                f.write_str("the observer itself")
            }
            Some(watchdog) => watchdog.fmt(f),
        }
    }
}

/// The service manager of this process.
struct ServiceManager {
    address: SocketAddr,
    /// None if it wants no keep-alives of this process.
    watchdog: Option<Watchdog>,
}

impl ServiceManager {
    /// The one that the environment named when an agent asked first. All agents share it, so
    /// that the process sends one keep-alive when it is due.
    fn of_process() -> io::Result<Option<&'static Self>> {
        static MANAGER: List<ServiceManager> = List::new();
        if let Some(manager) = MANAGER.iter().next() {
            return Ok(Some(manager));
        }
        let Some(environment) = Environment::read() else { return Ok(None) };
        MANAGER.find_or_add(|_| true, || Self::new(environment)).map(Some)
    }

    fn new(environment: Environment) -> io::Result<Self> {
        let watchdog = environment.interval_ns.map(Watchdog::new).transpose()?;
        Ok(Self { address: environment.address, watchdog })
    }

    /// Whether it is the observer of this endpoint, which hears the beats themselves: its own
    /// socket for notifications is beside that for beats.
    fn is_observer_of(&self, endpoint: Option<&OsStr>) -> bool {
        let Some(path) = self.address.as_pathname() else { return false };
        path.file_name() == Some(OsStr::new("notify.sock"))
            && endpoint
                .filter(|endpoint| endpoint.as_bytes().starts_with(b"/"))
                .is_some_and(|endpoint| resolve(path).parent() == Path::new(endpoint).parent())
    }

    /// Sends a message from a new socket, as every client of this protocol does: the program may
    /// have closed the descriptors that it does not know.
    fn send(&self, message: &[u8]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(message, &self.address).map(|_| ())
    }
}
