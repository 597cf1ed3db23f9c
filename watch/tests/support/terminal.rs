//! A terminal that tests can read.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Daemon, Folder, PATIENCE, WATCH, skipped};

/// A terminal of 100 by 24 characters, in its own tmux server.
pub(crate) struct Terminal {
    server: PathBuf,
}

impl Terminal {
    /// Runs `top`. None if tmux is not installed.
    pub(crate) fn with_top(folder: &Folder, daemon: &Daemon) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skipped("tmux: apt-get install tmux");
            return None;
        }
        let terminal = Self { server: folder.join("tmux") };
        let size = ["-x", "100", "-y", "24"];
        let flags = [&["-f", "/dev/null", "new-session", "-d"][..], &size].concat();
        let socket = daemon.socket().display();
        // After its end the terminal stays.
        let command = format!("{WATCH} top --every-ms 200 --socket {socket}; cat");
        assert!(terminal.tmux(&flags).arg(command).status().unwrap().success());
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("TERM", "xterm-256color");
        command.arg("-S").arg(&self.server).args(words);
        command
    }

    pub(crate) fn screen(&self) -> String {
        let captured = self.tmux(&["capture-pane", "-p"]).output().unwrap();
        String::from_utf8(captured.stdout).unwrap()
    }

    /// The title that a program has set.
    pub(crate) fn title(&self) -> String {
        let title = self.tmux(&["display-message", "-p", "#{pane_title}"]).output().unwrap();
        String::from_utf8(title.stdout).unwrap().trim_end().to_owned()
    }

    /// Waits until the agent's line contains the words.
    #[track_caller]
    pub(crate) fn wait_for(&self, pid: u32, words: &str) {
        let pid = pid.to_string();
        let start = Instant::now();
        while !self.screen().lines().any(|line| line.contains(&pid) && line.contains(words)) {
            assert!(start.elapsed() < PATIENCE, "{pid}: no {words:?} in\n{}", self.screen());
            std::thread::sleep(super::ms(50));
        }
    }

    pub(crate) fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).status().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).stderr(Stdio::null()).status();
    }
}
