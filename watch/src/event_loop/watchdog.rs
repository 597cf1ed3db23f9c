//! The watchdog: a thread that wakes the event loop regularly, checks that it makes progress,
//! and then updates the heartbeat file, the hardware watchdog and the service manager. The
//! thread runs only if one of these is configured.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{error, info};

use crate::config::Settings;
use crate::output::files;
use crate::platform::clock::Clock;
use crate::platform::systemd::{self, Notifier};
use crate::state::Shared;

/// Time between two checks, unless a shorter one is required.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Default of --self-watchdog-secs under the service manager's watchdog.
const STUCK: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(crate) struct Watchdog(Option<(SyncSender<Ending>, JoinHandle<()>)>);

#[derive(Debug)]
struct Ending {
    clean: bool,
}

impl Watchdog {
    pub(crate) fn start(
        settings: &Settings,
        notifier: Arc<Notifier>,
        shared: Shared,
        clock: Clock,
    ) -> io::Result<Self> {
        let flags = &settings.flags.supervision;
        let service = systemd::watchdog_interval();
        let stuck = flags.self_watchdog_secs.map(Duration::from_secs);
        let stuck = stuck.or(service.map(|_| STUCK));
        if flags.heartbeat_file.is_none() && flags.hw_watchdog.is_none() && stuck.is_none() {
            return Ok(Self(None));
        }
        let device = flags.hw_watchdog.as_deref().map(Device::open).transpose()?;
        let required = [service.map(|interval| interval / 2), stuck.map(|stuck| stuck / 4)];
        let interval = required
            .into_iter()
            .flatten()
            .chain([CHECK_INTERVAL])
            .min()
            .unwrap_or(CHECK_INTERVAL);
        let heartbeat =
            flags.heartbeat_file.clone().map(|path| Heartbeat { path, failing: false });
        let monitor =
            Monitor { interval, stuck, heartbeat, device, service: service.is_some() };
        let (ending, ended) = sync_channel(1);
        let watchdog = thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || monitor.run(&ended, &notifier, &shared, clock))?;
        Ok(Self(Some((ending, watchdog))))
    }

    /// Stops the thread. After a clean end the hardware watchdog is disarmed.
    pub(crate) fn end(self, clean: bool) {
        let Some((ending, watchdog)) = self.0 else { return };
        // Fails only if the thread has ended already.
        let _ = ending.send(Ending { clean });
        if watchdog.join().is_err() {
            error!("the watchdog thread has panicked");
        }
    }
}

#[derive(Debug)]
struct Monitor {
    interval: Duration,
    /// How long the loop may be stuck.
    stuck: Option<Duration>,
    heartbeat: Option<Heartbeat>,
    device: Option<Device>,
    service: bool,
}

impl Monitor {
    fn run(
        mut self,
        ended: &Receiver<Ending>,
        notifier: &Notifier,
        shared: &Shared,
        clock: Clock,
    ) {
        let (mut seen, mut checks) = (0, 0_u32);
        loop {
            shared.wake();
            match ended.recv_timeout(self.interval) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Ending { clean }) => return self.end(clean),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let turns = shared.counters().turns.get();
            if turns != seen {
                (seen, checks) = (turns, 0);
                self.report_progress(turns, clock, notifier, shared);
                continue;
            }
            // Checks are counted instead of time, because a daemon that was stopped is not stuck.
            checks += 1;
            if self.stuck.is_some_and(|stuck| self.interval * checks >= stuck) {
                abort(self.interval * checks);
            }
        }
    }

    fn report_progress(
        &mut self,
        turns: u64,
        clock: Clock,
        notifier: &Notifier,
        shared: &Shared,
    ) {
        if let Some(heartbeat) = &mut self.heartbeat
            && !heartbeat.write(turns, clock.now())
        {
            shared.counters().heartbeat_failed.one();
        }
        if let Some(device) = &mut self.device {
            device.feed(b"\0");
        }
        if self.service {
            notifier.watchdog();
        }
    }

    fn end(mut self, clean: bool) {
        if let Some(device) = self.device.as_mut().filter(|_| clean) {
            // The magic close character disarms it.
            device.feed(b"V");
        }
    }
}

/// Writes to stderr directly, because the log thread may be stuck as well.
fn abort(stuck: Duration) -> ! {
    let ms = stuck.as_millis();
    let line = format!(
        "{{\"level\":\"error\",\"msg\":\"the event loop has been stuck for {ms} ms; aborting\"}}\n"
    );
    let _ = io::stderr().write_all(line.as_bytes());
    std::process::abort()
}

/// Mode of the heartbeat file.
const MODE: u32 = 0o640;

/// A file whose age shows that the event loop makes progress.
#[derive(Debug)]
struct Heartbeat {
    path: PathBuf,
    failing: bool,
}

impl Heartbeat {
    /// Returns whether the file was written. Only the first failure in a row is logged.
    fn write(&mut self, turns: u64, now_ns: u64) -> bool {
        let beside = files::with_suffix(&self.path, ".tmp");
        let written = files::create(&beside, MODE)
            .and_then(|mut file| file.write_all(format!("{turns} {now_ns}\n").as_bytes()))
            .and_then(|()| fs::rename(&beside, &self.path));
        match &written {
            Err(error) if !self.failing => {
                error!(%error, file = %self.path.display(), "cannot write the heartbeat file");
            }
            Ok(()) if self.failing => {
                info!(file = %self.path.display(), "the heartbeat file can be written again");
            }
            _ => {}
        }
        self.failing = written.is_err();
        !self.failing
    }
}

/// A hardware watchdog, which resets the machine unless it is fed.
#[derive(Debug)]
struct Device {
    file: File,
    path: PathBuf,
}

impl Device {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).open(path).map_err(|error| {
            io::Error::new(error.kind(), format!("--hw-watchdog {}: {error}", path.display()))
        })?;
        let mut device = Self { file, path: path.to_owned() };
        // Opening a watchdog starts it, so a device that cannot be fed has to be reported now.
        device.feed(b"\0");
        Ok(device)
    }

    fn feed(&mut self, byte: &[u8]) {
        if let Err(error) = self.file.write_all(byte) {
            error!(%error, device = %self.path.display(), "cannot feed the hardware watchdog");
        }
    }
}
