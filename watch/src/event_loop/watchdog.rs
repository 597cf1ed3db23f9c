//! Who looks after the loop: a thread that rings it, sees that it turns, and passes that on
//! to whoever waits for it: a file, a hardware watchdog, the service manager. It exists only
//! where one of them does.

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

/// How often it looks, unless somebody wants it more often.
const LOOK: Duration = Duration::from_secs(1);

/// Under the service manager's watchdog the loop may be stuck so long, unless told otherwise.
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
        let told = &settings.flags.keeping;
        let service = systemd::watchdog_interval();
        let stuck = told.self_watchdog_secs.map(Duration::from_secs);
        let stuck = stuck.or(service.map(|_| STUCK));
        if told.heartbeat_file.is_none() && told.hw_watchdog.is_none() && stuck.is_none() {
            return Ok(Self(None));
        }
        let device = told.hw_watchdog.as_deref().map(Device::open).transpose()?;
        let often = [service.map(|interval| interval / 2), stuck.map(|stuck| stuck / 4)];
        let look = often.into_iter().flatten().chain([LOOK]).min().unwrap_or(LOOK);
        let heartbeat =
            told.heartbeat_file.clone().map(|path| Heartbeat { path, failing: false });
        let rounds = Rounds { look, stuck, heartbeat, device, service: service.is_some() };
        let (ending, ended) = sync_channel(1);
        let keeper = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || rounds.make(&ended, &notifier, &shared, clock))?;
        Ok(Self(Some((ending, keeper))))
    }

    /// Looks after nothing any more. A hardware watchdog is told whether the end is clean.
    pub(crate) fn end(self, clean: bool) {
        let Some((ending, keeper)) = self.0 else { return };
        // If it is gone already, there is nothing to tell it.
        let _ = ending.send(Ending { clean });
        if keeper.join().is_err() {
            error!("the keeper's thread has panicked");
        }
    }
}

#[derive(Debug)]
struct Rounds {
    look: Duration,
    /// How long the loop may be stuck.
    stuck: Option<Duration>,
    heartbeat: Option<Heartbeat>,
    device: Option<Device>,
    service: bool,
}

impl Rounds {
    fn make(
        mut self,
        ended: &Receiver<Ending>,
        notifier: &Notifier,
        shared: &Shared,
        clock: Clock,
    ) {
        let (mut seen, mut looks) = (0, 0_u32);
        loop {
            shared.ring();
            match ended.recv_timeout(self.look) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Ending { clean }) => return self.end(clean),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let turns = shared.counters().turns.get();
            if turns != seen {
                (seen, looks) = (turns, 0);
                self.pass_on(turns, clock, notifier, shared);
                continue;
            }
            // Looks are counted, not time: who was stopped as a whole is not stuck.
            looks += 1;
            if self.stuck.is_some_and(|stuck| self.look * looks >= stuck) {
                abort(self.look * looks);
            }
        }
    }

    fn pass_on(&mut self, turns: u64, clock: Clock, notifier: &Notifier, shared: &Shared) {
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
            // Disarms it.
            device.feed(b"V");
        }
    }
}

/// What the log would have to say may be stuck as well, so this goes straight to stderr.
fn abort(stuck: Duration) -> ! {
    let ms = stuck.as_millis();
    let line = format!(
        "{{\"level\":\"error\",\"msg\":\"the loop has not turned for {ms} ms; aborting\"}}\n"
    );
    let _ = io::stderr().write_all(line.as_bytes());
    std::process::abort()
}

/// Of the heartbeat file.
const MODE: u32 = 0o640;

/// A file whose age shows that the loop turns.
#[derive(Debug)]
struct Heartbeat {
    path: PathBuf,
    failing: bool,
}

impl Heartbeat {
    /// Says whether that went well; the log is told of the first failure only.
    fn write(&mut self, turns: u64, now_ns: u64) -> bool {
        let beside = files::with_suffix(&self.path, ".tmp");
        let written = files::create(&beside, MODE)
            .and_then(|mut file| file.write_all(format!("{turns} {now_ns}\n").as_bytes()))
            .and_then(|()| fs::rename(&beside, &self.path));
        match &written {
            Err(error) if !self.failing => {
                error!(%error, file = %self.path.display(), "heartbeat file not written");
            }
            Ok(()) if self.failing => {
                info!(file = %self.path.display(), "heartbeat file is written again");
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
        // Opening a watchdog starts it. A device that cannot be fed is reported at once.
        device.feed(b"\0");
        Ok(device)
    }

    fn feed(&mut self, byte: &[u8]) {
        if let Err(error) = self.file.write_all(byte) {
            error!(%error, device = %self.path.display(), "hardware watchdog not fed");
        }
    }
}
