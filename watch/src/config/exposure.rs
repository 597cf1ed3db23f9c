//! Checks whether unprivileged users could make recovery act on healthy agents.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Settings;

/// In tests no flood could keep a queue of this length full.
const SAFE_QUEUE: usize = 4096;

/// The queue length, in datagrams, of Unix sockets created from now on.
const QUEUE: &str = "/proc/sys/net/unix/max_dgram_qlen";

impl Settings {
    /// The warning to print before the socket exists.
    pub(crate) fn exposure(&self) -> Option<String> {
        let queue = fs::read_to_string(QUEUE).ok()?.trim().parse().ok()?;
        self.exposed(self.flags.listening.socket_mode, queue)
    }

    /// The warning to log once the socket exists and its queue holds this many datagrams.
    pub(crate) fn exposure_at(&self, queue: usize) -> Option<String> {
        let path = self.flags.listening.socket.as_deref();
        let mode = path.and_then(mode_of).unwrap_or(self.flags.listening.socket_mode);
        self.exposed(mode, queue)
    }

    fn exposed(&self, mode: u32, queue: usize) -> Option<String> {
        let exposed = self.command.is_some() && mode & 0o002 != 0 && queue < SAFE_QUEUE;
        exposed.then(|| {
            format!(
                "recovery runs a command, the socket's mode {mode:04o} lets every user write to \
                 it, and its queue holds only {queue} datagrams: with a flood, any user can keep \
                 the daemon from receiving the beats of healthy agents. Set the sysctl \
                 net.unix.max_dgram_qlen to {SAFE_QUEUE} before the socket is created, or use \
                 mode 0660 and a group"
            )
        })
    }
}

fn mode_of(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o777)
}
