//! The daemon as a process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{Folder, PATIENCE, WATCH, signal, text_of, wait_until};

/// A daemon with its socket at `varta.sock` and its log at `log` in a folder.
pub(crate) struct Daemon {
    process: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts a daemon and waits until it is watching. Tests make an agent silent by stopping it,
    /// so unless the flags say otherwise, that is no reason to spare it.
    #[track_caller]
    pub(crate) fn start(folder: &Folder, flags: &[&str]) -> Self {
        let socket = folder.join("varta.sock");
        let mut all = vec!["--socket", socket.to_str().unwrap(), "--log-format", "json"];
        all.extend_from_slice(&["--causes", "off"]);
        all.extend_from_slice(flags);
        Self::start_as(folder, Command::new(WATCH).args(all).stdin(Stdio::null()))
    }

    /// Starts a daemon with this command and waits until it is watching.
    #[track_caller]
    pub(crate) fn start_as(folder: &Folder, command: &mut Command) -> Self {
        Self::start_with_stdout(folder, command.stdout(Stdio::null()))
    }

    /// Like [`start_as`](Self::start_as), with the standard output that the command has.
    #[track_caller]
    pub(crate) fn start_with_stdout(folder: &Folder, command: &mut Command) -> Self {
        let log = folder.join("log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let before = text_of(&log).len();
        let process = command.stderr(file).spawn().unwrap();
        let mut daemon = Self { process, socket: folder.join("varta.sock"), log };
        wait_until(|| {
            let ended = daemon.process.try_wait().unwrap();
            assert!(ended.is_none(), "{}", text_of(&daemon.log));
            text_of(&daemon.log)[before..].contains("\"watching\"")
        });
        daemon
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn log(&self) -> String {
        text_of(&self.log)
    }

    /// The number of log lines that contain a text.
    pub(crate) fn count_logged(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait_for_lines(text, 1);
    }

    #[track_caller]
    pub(crate) fn wait_for_lines(&self, text: &str, count: usize) {
        let start = std::time::Instant::now();
        while self.count_logged(text) < count {
            let log = self.log();
            assert!(start.elapsed() < PATIENCE, "{text:?} not in the log:\n{log}");
            std::thread::sleep(super::ms(5));
        }
    }

    pub(crate) fn signal(&self, number: i32) {
        signal(self.pid(), number);
    }

    /// Waits until the daemon has ended.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until(|| {
            ended = self.process.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// Ends the daemon as a service manager does; it must exit with 0.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        self.signal(libc::SIGTERM);
        let ended = self.wait();
        assert_eq!(ended.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}
