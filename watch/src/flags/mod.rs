//! The daemon's flags. Each one is also a key of the configuration file.

mod ignored;
mod observer;
mod triggers;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

pub(crate) use ignored::Ignored;
pub(crate) use triggers::{Trigger, Triggers};
pub(crate) use values::{Slack, Uids, control_socket_of, time};
use values::{assignment, at_least_one, host_name, mode, slack, uids};

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Read flags from this TOML file
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,
    /// Check flags and file, then exit
    #[arg(long, help_heading = "Configuration")]
    pub(crate) check_config: bool,
    #[command(flatten)]
    pub(crate) listening: Listening,
    #[command(flatten)]
    pub(crate) admission: Admission,
    #[command(flatten)]
    pub(crate) lane: Lane,
    #[command(flatten)]
    pub(crate) recovery: Recovery,
    #[command(flatten)]
    pub(crate) audit: Audit,
    #[command(flatten)]
    pub(crate) export: Export,
    #[command(flatten)]
    pub(crate) history: History,
    #[command(flatten)]
    pub(crate) http: Http,
    #[command(flatten)]
    pub(crate) supervision: Supervision,
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(flatten)]
    pub(crate) ignored: Ignored,
}

/// The sockets that receive beats.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listening")]
pub(crate) struct Listening {
    /// Unix socket to listen on; optional if the service manager passes one
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Report a stall when an agent has been silent for this long
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) threshold_ms: Option<u64>,
    /// File mode of the Unix socket
    #[arg(long, value_name = "OCTAL", default_value = "0600", value_parser = mode)]
    pub(crate) socket_mode: u32,
    /// Receive buffer size of the sockets; 0 keeps the kernel's default
    #[arg(long, value_name = "BYTES", default_value_t = 1_048_576)]
    pub(crate) uds_rcvbuf_bytes: u32,
    /// Also listen on this UDP port
    #[arg(long, value_name = "PORT")]
    pub(crate) udp_port: Option<u16>,
    /// Address to listen on for UDP [default: 127.0.0.1 with keys, else 0.0.0.0]
    #[arg(long, value_name = "IP")]
    pub(crate) udp_bind_addr: Option<IpAddr>,
    /// Key for sealed UDP: a file with mode 0600 that contains 64 hex digits
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Additional accepted keys, one per line, for key rotation
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(crate) accepted_key_file: Option<PathBuf>,
    /// Master key for sealed UDP, from which the key of each agent is derived
    #[arg(long, value_name = "FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// Remember accepted sealed beats across restarts in this file; created with mode 0600 if missing
    #[arg(long, value_name = "FILE")]
    pub(crate) secure_state_file: Option<PathBuf>,
    /// Allow UDP without keys, where anyone can pose as any agent
    #[arg(long)]
    pub(crate) i_accept_plaintext_udp: bool,
    /// Allow sealed UDP on an address that other machines can reach
    #[arg(long)]
    pub(crate) i_accept_secure_udp_non_loopback: bool,
    /// Also accept frames of version 1
    #[arg(long)]
    pub(crate) accept_version_1: bool,
    /// Also listen here for programs that speak the protocol of systemd's sd_notify: they get this
    /// path as NOTIFY_SOCKET
    #[arg(long, value_name = "PATH")]
    pub(crate) notify_socket: Option<PathBuf>,
    /// File mode of the notify socket. Only the messages of users in --uids count
    #[arg(long, value_name = "OCTAL", default_value = "0666", value_parser = mode)]
    pub(crate) notify_socket_mode: u32,
    /// Whose notifications count: "main" for those of main processes, "all" for those of their
    /// descendants too
    #[arg(long, value_name = "WHOSE", value_enum, default_value_t = NotifyAccess::Main)]
    pub(crate) notify_access: NotifyAccess,
    /// Nice value of the receiving thread [default: inherited if set, else -20 if permitted]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    pub(crate) nice: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NotifyAccess {
    Main,
    All,
}

/// The agents to watch.
#[derive(Debug, Args)]
#[command(next_help_heading = "Agents")]
pub(crate) struct Admission {
    /// Users whose beats are accepted: "same" (the daemon's user), "any", or a list like 33,1000
    #[arg(long, value_name = "UIDS", default_value = "same", value_parser = uids)]
    pub(crate) uids: Uids,
    /// Find out why a process is silent. With "off", recovery also starts for processes that are
    /// held from outside: stopped, frozen, starved
    #[arg(long, value_name = "SWITCH", value_enum, default_value_t = Switch::On)]
    pub(crate) causes: Switch,
    /// Accept agents of other pid namespaces
    #[arg(long)]
    pub(crate) allow_cross_namespace_agents: bool,
    /// Exit with code 1 when an accepted user sends a datagram from another pid namespace, which
    /// lets any such user stop the daemon
    #[arg(long)]
    pub(crate) strict_namespace_check: bool,
    /// Maximum number of agents
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
    pub(crate) tracker_capacity: usize,
    /// Maximum beat events per second of one agent; 0 means unlimited
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_beat_rate: u32,
    /// Maximum beat events per second of all agents; 0 means unlimited
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) global_beat_rate: u32,
    /// Burst that --global-beat-rate tolerates; 0 means unlimited
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) global_beat_burst: u32,
}

/// Beats through shared memory, and the tasks that agents declare there.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lane and tasks")]
pub(crate) struct Lane {
    /// Also receive beats through shared memory, on a second socket: the path of --socket plus
    /// ".lane"
    #[arg(long, value_name = "SWITCH", value_enum, default_value_t = Switch::On)]
    pub(crate) lane: Switch,
    /// Watch each task that an agent declares. With "off", or without the lane, a late task shows
    /// only in the status of its agent's beats
    #[arg(long, value_name = "SWITCH", value_enum, default_value_t = Switch::On)]
    pub(crate) tasks: Switch,
    /// Report tasks with this name only when they are late by this much (repeatable)
    #[arg(long, value_name = "NAME=MS", value_parser = slack)]
    pub(crate) task_slack: Vec<Slack>,
    /// The same for all tasks of programs with this name (repeatable); --task-slack takes
    /// precedence
    #[arg(long, value_name = "NAME=MS", value_parser = slack)]
    pub(crate) program_slack: Vec<Slack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Self::On
    }
}

/// The command to run for an agent that has stalled or crashed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recovery")]
pub(crate) struct Recovery {
    /// Command to run when an agent stalls or crashes, split at whitespace, without a shell; {pid}
    /// is replaced by the agent's pid
    #[arg(long, value_name = "COMMAND", conflicts_with = "recovery_exec_file")]
    pub(crate) recovery_exec: Option<String>,
    /// Read the recovery command from this file, which only the daemon's user may read
    #[arg(long, value_name = "FILE")]
    pub(crate) recovery_exec_file: Option<PathBuf>,
    /// What starts the command, separated by commas: hung (a process stalls by itself, or for an
    /// unknown cause), kernel (it waits in the kernel for three thresholds), crash (a process exits
    /// with a code other than 0), late-task (a task stalls, even if its process beats), and the
    /// causes and classes in docs/causes.md
    #[arg(
        long,
        value_name = "LIST",
        default_value = "hung,kernel,crash",
        value_parser = Triggers::parse
    )]
    pub(crate) recovery_on: Triggers,
    /// Minimum time between two runs for one pid
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub(crate) recovery_debounce_ms: u64,
    /// Add a variable to the command's environment (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) recovery_env: Vec<(String, String)>,
    /// Pass the daemon's whole environment to the command
    #[arg(long)]
    pub(crate) recovery_inherit_env: bool,
    /// Kill the command and its process group after this long
    #[arg(long, value_name = "MS")]
    pub(crate) recovery_timeout_ms: Option<u64>,
    /// Maximum number of tries of a failing command in one run
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) recovery_tries: u32,
    /// Wait before the second try; the wait doubles before each further try
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) recovery_backoff_ms: u64,
    /// Maximum wait between two tries
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    pub(crate) recovery_backoff_max_ms: u64,
    /// Maximum number of commands started in one window or running at once, for all agents;
    /// users take turns, and a user without a command in the window can start one more
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) recovery_budget: u32,
    /// Length of the window of --recovery-budget
    #[arg(long, value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) recovery_budget_window_ms: u64,
    /// Also run the command for agents that are not confirmed to be the expected process
    #[arg(long)]
    pub(crate) recovery_for_unconfirmed: bool,
    /// Also run the command for agents that beat over sealed UDP
    #[arg(long)]
    pub(crate) secure_udp_i_accept_recovery_on_unauthenticated_transport: bool,
    /// Also run the command for agents that beat over UDP without keys
    #[arg(long)]
    pub(crate) plaintext_udp_i_accept_recovery_on_unauthenticated_transport: bool,
    /// Read the command's output, count its bytes and discard it
    #[arg(long)]
    pub(crate) recovery_capture_stdio: bool,
    /// Count at most this many bytes of stdout and of stderr
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(..=1_048_576))]
    pub(crate) recovery_capture_bytes: u32,
    /// Before the command starts for a process that hangs by itself, write what its threads are
    /// doing to a new file in this folder, which keeps the latest 100
    #[arg(long, value_name = "DIR")]
    pub(crate) recovery_snapshot_dir: Option<PathBuf>,
    /// Log recovery commands instead of running them
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The log of recovery's decisions.
#[derive(Debug, Args)]
#[command(next_help_heading = "Audit log")]
pub(crate) struct Audit {
    /// Write every recovery decision to this file, as a hash chain
    #[arg(long, value_name = "FILE")]
    pub(crate) recovery_audit_file: Option<PathBuf>,
    /// Rotate the file at this size and keep five old ones
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) recovery_audit_max_bytes: Option<u64>,
    /// Sync to disk after this many lines
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) recovery_audit_sync_every: u32,
    /// Count syncs that take longer than this
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) audit_fsync_budget_ms: u32,
    /// Maximum time that written lines wait for a sync; 0 means unlimited
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) audit_sync_interval_ms: u32,
    /// Count rotations that take longer than this
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) audit_rotation_budget_ms: u32,
}

/// The file with a line for each event.
#[derive(Debug, Args)]
#[command(next_help_heading = "Export")]
pub(crate) struct Export {
    /// Append a line for each event to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) export_file: Option<PathBuf>,
    /// Line format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = ExportFormat::Tsv)]
    pub(crate) export_format: ExportFormat,
    /// Rotate the file at this size and keep five old ones
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) export_file_max_bytes: Option<u64>,
    /// Sync to disk after this many lines; 0 leaves it to the kernel
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) export_file_sync_every: u32,
}

/// The record of what happened.
#[derive(Debug, Args)]
#[command(next_help_heading = "History")]
pub(crate) struct History {
    /// Store what happened, for `history` and `replay`, if there is a folder for it
    #[arg(long, value_name = "SWITCH", value_enum, default_value_t = Switch::On)]
    pub(crate) history: Switch,
    /// Folder of the history [default: /var/lib/varta/history if that folder exists]
    #[arg(long, value_name = "DIR")]
    pub(crate) history_dir: Option<PathBuf>,
    /// Remove the oldest part of the history when it is larger than this
    #[arg(long, value_name = "BYTES", default_value_t = 268_435_456, value_parser = clap::value_parser!(u64).range(1_048_576..))]
    pub(crate) history_max_bytes: u64,
    /// Remove what is older than this, like 30d or 12h
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = time)]
    pub(crate) history_max_age: Duration,
    /// Name of this host in the history and in lines of JSON [default: its hostname]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Tab-separated columns, as in varta-watch 0.2
    Tsv,
    /// One JSON object per line
    Json,
}

/// Access for other programs.
#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP and control")]
pub(crate) struct Http {
    /// Serve /metrics, /healthz, /agents and the live page on this address
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) prom_addr: Option<SocketAddr>,
    /// Bearer token: a file with mode 0600 that contains 64 hex digits; required unless on loopback
    #[arg(long, value_name = "FILE")]
    pub(crate) prom_token_file: Option<PathBuf>,
    /// Accept HTTP requests without a token for this host name, besides IP addresses and localhost (repeatable)
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    pub(crate) http_host: Vec<String>,
    /// Maximum HTTP requests per second from one address; 0 means unlimited
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) prom_rate_limit_per_sec: u32,
    /// Burst that --prom-rate-limit-per-sec tolerates; 0 means unlimited
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) prom_rate_limit_burst: u32,
    /// Count scrapes that take longer than this
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(crate) scrape_budget_ms: u64,
    /// Count iterations of the event loop that take longer than this
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(crate) iteration_budget_ms: u64,
    /// Socket for `top`, `events` and `check` [default: the path of --socket plus ".control"]
    #[arg(long, value_name = "PATH")]
    pub(crate) control_socket: Option<PathBuf>,
}

/// Supervision of the daemon, and its shutdown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Watchdogs and shutdown")]
pub(crate) struct Supervision {
    /// Write the event loop's iteration count and time to this file once a second
    #[arg(long, value_name = "FILE")]
    pub(crate) heartbeat_file: Option<PathBuf>,
    /// Abort when the event loop has been stuck for this long [default: 4 under systemd's watchdog]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) self_watchdog_secs: Option<u64>,
    /// Feed this hardware watchdog device
    #[arg(long, value_name = "DEVICE")]
    pub(crate) hw_watchdog: Option<PathBuf>,
    /// Exit after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) shutdown_after_secs: Option<u64>,
    /// Maximum time to wait for recovery commands at shutdown
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) shutdown_grace_ms: u64,
}

/// The daemon's own log.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct Logging {
    /// Minimum log level
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,
    /// Line format; auto means text on a terminal, else JSON
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Auto,
    Text,
    Json,
}
