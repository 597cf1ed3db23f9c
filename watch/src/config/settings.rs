//! Consistent settings, with the contents of the files that they refer to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use varta::secure::Key;

use super::Problem;
use super::secrets::{Token, keys_of, text_of};
use crate::flags::{Flags, control_socket_of};
use crate::output::batches::Folder;
use crate::output::files;
use crate::platform::systemd;
use crate::rules::Rules;

/// The checked settings of the daemon.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) flags: Flags,
    pub(crate) threshold: Duration,
    pub(crate) udp: Option<Udp>,
    pub(crate) keys: Keys,
    pub(crate) command: Option<Command>,
    pub(crate) token: Option<Token>,
    pub(crate) rules: Arc<Rules>,
}

/// Where to listen for UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Udp {
    pub(crate) address: SocketAddr,
    pub(crate) sealed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub(crate) shared: Vec<Key>,
    pub(crate) master: Option<Key>,
}

/// The recovery command, and where it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<String>,
    /// "inline", or the path of its file.
    pub(crate) source: String,
}

impl Command {
    /// Splits a command into words.
    pub(crate) fn words_of(text: &str) -> Result<Vec<String>, String> {
        let words: Vec<_> = text.split_ascii_whitespace().map(str::to_owned).collect();
        match () {
            () if words.is_empty() => Err("contains no command".to_owned()),
            () if text.contains('\0') => {
                Err("a command must not contain a zero byte".to_owned())
            }
            () => Ok(words),
        }
    }
}

impl Settings {
    pub(super) fn check(flags: Flags, mut rules: Rules) -> Result<Self, Problem> {
        let Some(threshold_ms) = flags.listening.threshold_ms else {
            return Err(Problem::new(
                "threshold-ms",
                "is required: how long may an agent be silent?",
            ));
        };
        if flags.listening.socket.is_none() && !systemd::passes_sockets() {
            return Err(Problem::new("socket", "is required: which socket do agents beat to?"));
        }
        let keys = keys(&flags)?;
        let udp = udp(&flags)?;
        let command = command(&flags)?;
        let token = match &flags.http.prom_token_file {
            Some(path) => Some(read("prom-token-file", path, Token::read)?),
            None => None,
        };
        rules.read_users().map_err(|error| {
            Problem::new("config", format_args!("a rule needs /etc/passwd: {error}"))
        })?;
        let settings = Self {
            threshold: Duration::from_millis(threshold_ms),
            udp,
            keys,
            command,
            token,
            rules: Arc::new(rules),
            flags,
        };
        settings.check_recovery()?;
        settings.check_http()?;
        settings.check_files()?;
        Ok(settings)
    }

    fn check_recovery(&self) -> Result<(), Problem> {
        let recovery = &self.flags.recovery;
        if let Some(folder) = &recovery.recovery_snapshot_dir {
            let flag = "recovery-snapshot-dir";
            if !self.has_commands() {
                return Err(Problem::new(
                    flag,
                    "needs a command that it precedes: --recovery-exec",
                ));
            }
            if !self.flags.admission.causes.is_on() {
                return Err(Problem::new(
                    flag,
                    "has no effect with --causes off, which does not find out whether a process \
                     hangs by itself",
                ));
            }
            read(flag, folder, files::check_folder)?;
        }
        let Some(udp) = self.udp.filter(|_| self.has_commands()) else {
            if recovery.recovery_capture_stdio && !self.has_commands() {
                return Err(Problem::new("recovery-capture-stdio", NO_COMMAND));
            }
            return Ok(());
        };
        let (flag, accepted) = if udp.sealed {
            (
                "secure-udp-i-accept-recovery-on-unauthenticated-transport",
                recovery.secure_udp_i_accept_recovery_on_unauthenticated_transport,
            )
        } else {
            (
                "plaintext-udp-i-accept-recovery-on-unauthenticated-transport",
                recovery.plaintext_udp_i_accept_recovery_on_unauthenticated_transport,
            )
        };
        if accepted {
            return Ok(());
        }
        Err(Problem::new(
            flag,
            "is required to use recovery together with UDP: the kernel does not attest who \
             sends over a network",
        ))
    }

    fn check_http(&self) -> Result<(), Problem> {
        match self.flags.http.prom_addr {
            Some(address) if !address.ip().is_loopback() && self.token.is_none() => {
                Err(Problem::new(
                    "prom-token-file",
                    format_args!(
                        "is required to serve HTTP on {address}, which is not a loopback address"
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Output files are opened at the start. This reports in advance what can be checked now.
    fn check_files(&self) -> Result<(), Problem> {
        let files = [
            ("export-file", &self.flags.export.export_file),
            ("recovery-audit-file", &self.flags.audit.recovery_audit_file),
        ];
        for (flag, path) in files {
            if let Some(path) = path {
                read(flag, path, files::check)?;
            }
        }
        if let Some(folder) = &self.flags.history.history_dir {
            read("history-dir", folder, files::check_folder)?;
        }
        Ok(())
    }

    /// Whether any agent has a recovery command.
    pub(crate) fn has_commands(&self) -> bool {
        self.command.is_some() || self.rules.have_commands()
    }

    /// The warning to print if there is no folder for snapshots yet.
    pub(crate) fn missing_folder(&self) -> Option<String> {
        let folder = self.flags.recovery.recovery_snapshot_dir.as_ref()?;
        (!folder.exists()).then(|| {
            format!(
                "--recovery-snapshot-dir {}: there is no such folder; until it is created, \
                 recovery commands start without a snapshot",
                folder.display()
            )
        })
    }

    /// The folder of the history, if there is one.
    pub(crate) fn history_folder(&self) -> Option<Folder> {
        if !self.flags.history.history.is_on() {
            return None;
        }
        let given = self.flags.history.history_dir.clone();
        let default = || Some(PathBuf::from(HISTORY)).filter(|path| path.is_dir());
        let is_default = given.is_none();
        given.or_else(default).map(|path| Folder { path, is_default })
    }

    /// The control socket, for `top`, `events` and `check`.
    pub(crate) fn control_socket(&self) -> Option<PathBuf> {
        let given = self.flags.http.control_socket.clone();
        given.or_else(|| self.flags.listening.socket.as_deref().map(control_socket_of))
    }
}

/// The default folder of the history, which the systemd unit creates.
const HISTORY: &str = "/var/lib/varta/history";

const NO_COMMAND: &str = "needs a command to capture from: --recovery-exec";

fn keys(flags: &Flags) -> Result<Keys, Problem> {
    let listening = &flags.listening;
    let mut keys = Keys::default();
    if let Some(path) = &listening.key_file {
        keys.shared.push(key("key-file", path)?);
    }
    if let Some(path) = &listening.accepted_key_file {
        if keys.shared.is_empty() {
            return Err(Problem::new("accepted-key-file", "needs a first key: --key-file"));
        }
        keys.shared.append(&mut read("accepted-key-file", path, keys_of)?);
    }
    if let Some(path) = &listening.master_key_file {
        keys.master = Some(key("master-key-file", path)?);
    }
    if listening.udp_port.is_none() && (listening.key_file.is_some() || keys.master.is_some()) {
        return Err(Problem::new("udp-port", "is required: keys are for sealed UDP"));
    }
    if listening.secure_state_file.is_some() && keys.shared.is_empty() && keys.master.is_none()
    {
        return Err(Problem::new(
            "secure-state-file",
            "needs --key-file or --master-key-file: only sealed beats are remembered",
        ));
    }
    Ok(keys)
}

fn key(flag: &'static str, path: &Path) -> Result<Key, Problem> {
    // The error names the file already.
    Key::from_file(path).map_err(|error| Problem::new(flag, error))
}

fn udp(flags: &Flags) -> Result<Option<Udp>, Problem> {
    let listening = &flags.listening;
    let Some(port) = listening.udp_port else { return Ok(None) };
    let sealed = listening.key_file.is_some() || listening.master_key_file.is_some();
    if !sealed && !listening.i_accept_plaintext_udp {
        return Err(Problem::new(
            "udp-port",
            "needs --key-file or --master-key-file, or --i-accept-plaintext-udp if anyone may \
             pose as any agent",
        ));
    }
    let default = if sealed { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let ip = listening.udp_bind_addr.unwrap_or(IpAddr::V4(default));
    if sealed && !ip.is_loopback() && !listening.i_accept_secure_udp_non_loopback {
        return Err(Problem::new(
            "udp-bind-addr",
            format_args!(
                "other machines can reach {ip}; to allow that, add \
                 --i-accept-secure-udp-non-loopback"
            ),
        ));
    }
    Ok(Some(Udp { address: SocketAddr::new(ip, port), sealed }))
}

fn command(flags: &Flags) -> Result<Option<Command>, Problem> {
    let recovery = &flags.recovery;
    let (flag, text, source) = match (&recovery.recovery_exec, &recovery.recovery_exec_file) {
        (Some(text), _) => ("recovery-exec", text.clone(), "inline".to_owned()),
        (None, Some(path)) => {
            let text = read("recovery-exec-file", path, text_of)?;
            ("recovery-exec-file", text.to_string(), path.display().to_string())
        }
        (None, None) => return Ok(None),
    };
    let words = Command::words_of(&text).map_err(|why| Problem::new(flag, why))?;
    Ok(Some(Command { words, source }))
}

fn read<T>(
    flag: &'static str,
    path: &Path,
    read: impl FnOnce(&Path) -> std::io::Result<T>,
) -> Result<T, Problem> {
    read(path).map_err(|error| Problem::new(flag, format_args!("{}: {error}", path.display())))
}
