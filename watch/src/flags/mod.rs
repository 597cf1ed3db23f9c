//! What the daemon may be told. Each of these is a flag and a key of the file.

mod ignored;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(crate) use ignored::Ignored;
pub(crate) use values::{Uids, control_socket_of};
use values::{assignment, at_least_one, host_name, mode, uids};

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A TOML file that says any of these flags
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,
    /// Say what is wrong with flags and file, and end
    #[arg(long, help_heading = "Configuration")]
    pub(crate) check_config: bool,
    #[command(flatten)]
    pub(crate) listening: Listening,
    #[command(flatten)]
    pub(crate) admission: Admission,
    #[command(flatten)]
    pub(crate) recovery: Recovery,
    #[command(flatten)]
    pub(crate) audit: Audit,
    #[command(flatten)]
    pub(crate) export: Export,
    #[command(flatten)]
    pub(crate) http: Http,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(flatten)]
    pub(crate) idle: Ignored,
}

/// Where agents beat.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listening")]
pub(crate) struct Listening {
    /// The Unix socket; not needed when the service manager passes one
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// How long an agent may be silent
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) threshold_ms: Option<u64>,
    /// Mode of the socket's file
    #[arg(long, value_name = "OCTAL", default_value = "0600", value_parser = mode)]
    pub(crate) socket_mode: u32,
    /// Size of the sockets' receive buffers; 0 leaves it as it is
    #[arg(long, value_name = "BYTES", default_value_t = 1_048_576)]
    pub(crate) uds_rcvbuf_bytes: u32,
    /// Listen at this UDP port too
    #[arg(long, value_name = "PORT")]
    pub(crate) udp_port: Option<u16>,
    /// UDP address [default: 127.0.0.1 with keys, else 0.0.0.0]
    #[arg(long, value_name = "IP")]
    pub(crate) udp_bind_addr: Option<IpAddr>,
    /// Key of sealed UDP: a 0600 file of 64 hex digits
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Further keys that are taken, one a line, while keys are changed
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(crate) accepted_key_file: Option<PathBuf>,
    /// Key from which each agent's own is derived
    #[arg(long, value_name = "FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// Remember accepted sealed beats across restarts in this file, made with mode 0600 if missing
    #[arg(long, value_name = "FILE")]
    pub(crate) secure_state_file: Option<PathBuf>,
    /// Accept UDP without keys, where anybody may claim to be anybody
    #[arg(long)]
    pub(crate) i_accept_plaintext_udp: bool,
    /// Accept sealed UDP on an address other machines reach
    #[arg(long)]
    pub(crate) i_accept_secure_udp_non_loopback: bool,
    /// Take frames of version 1 too
    #[arg(long)]
    pub(crate) accept_version_1: bool,
    /// Niceness of the thread that hears [default: what the daemon is given; given none, -20 if it may]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    pub(crate) nice: Option<i32>,
}

/// Who is followed, and how many.
#[derive(Debug, Args)]
#[command(next_help_heading = "Agents")]
pub(crate) struct Admission {
    /// Whose beats count: "same" as the daemon's, "any", or a list as 33,1000
    #[arg(long, value_name = "UIDS", default_value = "same", value_parser = uids)]
    pub(crate) uids: Uids,
    /// Admit agents of other pid namespaces
    #[arg(long)]
    pub(crate) allow_cross_namespace_agents: bool,
    /// Exit with 1 when a datagram of an admitted user comes from another pid namespace, so that
    /// any such user can end the daemon
    #[arg(long)]
    pub(crate) strict_namespace_check: bool,
    /// How many agents are followed at most
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
    pub(crate) tracker_capacity: usize,
    /// Beats of one agent that become events in a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_beat_rate: u32,
    /// Beats of all agents that become events in a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) global_beat_rate: u32,
    /// How far above that rate a burst may go; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) global_beat_burst: u32,
}

/// What is run for an agent that is silent or has crashed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recovery")]
pub(crate) struct Recovery {
    /// Command that is run, split at blanks, without a shell; {pid} is the agent's pid
    #[arg(long, value_name = "COMMAND", conflicts_with = "recovery_exec_file")]
    pub(crate) recovery_exec: Option<String>,
    /// The same from a file that only the daemon's user can read
    #[arg(long, value_name = "FILE")]
    pub(crate) recovery_exec_file: Option<PathBuf>,
    /// Least time between two runs for one pid
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub(crate) recovery_debounce_ms: u64,
    /// Add to the command's environment; may be said often
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) recovery_env: Vec<(String, String)>,
    /// Give the command all of the daemon's environment
    #[arg(long)]
    pub(crate) recovery_inherit_env: bool,
    /// Kill the command and its process group after so long
    #[arg(long, value_name = "MS")]
    pub(crate) recovery_timeout_ms: Option<u64>,
    /// How often a run tries a command that fails
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) recovery_tries: u32,
    /// Wait before the second try; each later wait is twice as long
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) recovery_backoff_ms: u64,
    /// Longest wait between two tries
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    pub(crate) recovery_backoff_max_ms: u64,
    /// Commands that may be started for all agents in one window, or run at once; users take
    /// turns, and while it is spent a user without a command in it gets one more
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) recovery_budget: u32,
    /// The window of the budget
    #[arg(long, value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) recovery_budget_window_ms: u64,
    /// Run it also for agents that are not confirmed to be the process that is meant
    #[arg(long)]
    pub(crate) recovery_for_unconfirmed: bool,
    /// Run it also for agents heard over sealed UDP
    #[arg(long)]
    pub(crate) secure_udp_i_accept_recovery_on_unauthenticated_transport: bool,
    /// Run it also for agents heard over UDP without keys
    #[arg(long)]
    pub(crate) plaintext_udp_i_accept_recovery_on_unauthenticated_transport: bool,
    /// Read and count what the command prints, and drop it
    #[arg(long)]
    pub(crate) recovery_capture_stdio: bool,
    /// Count at most so many bytes of stdout and of stderr
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(..=1_048_576))]
    pub(crate) recovery_capture_bytes: u32,
    /// Log what would be run, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The log of what recovery did and refused.
#[derive(Debug, Args)]
#[command(next_help_heading = "Audit log")]
pub(crate) struct Audit {
    /// Write each decision of recovery to this file, its hashes chained
    #[arg(long, value_name = "FILE")]
    pub(crate) recovery_audit_file: Option<PathBuf>,
    /// Begin a new file at this size; five old ones are kept
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) recovery_audit_max_bytes: Option<u64>,
    /// Sync after so many lines
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) recovery_audit_sync_every: u32,
    /// A sync slower than this is counted
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) audit_fsync_budget_ms: u32,
    /// Sync at least so often while lines wait for it; 0 is never
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) audit_sync_interval_ms: u32,
    /// A rotation slower than this is counted
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) audit_rotation_budget_ms: u32,
}

/// A line for each event.
#[derive(Debug, Args)]
#[command(next_help_heading = "Export")]
pub(crate) struct Export {
    /// Append a line for each event to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) export_file: Option<PathBuf>,
    /// What the lines are
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = ExportFormat::Tsv)]
    pub(crate) export_format: ExportFormat,
    /// Begin a new file at this size; five old ones are kept
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) export_file_max_bytes: Option<u64>,
    /// Sync after so many lines; 0 leaves it to the kernel
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) export_file_sync_every: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Columns divided by tabs, as published
    Tsv,
    /// An object a line
    Json,
}

/// What it shows to others.
#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP and control")]
pub(crate) struct Http {
    /// Serve /metrics, /healthz, /agents and the live page here
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) prom_addr: Option<SocketAddr>,
    /// Bearer token: a 0600 file of 64 hex digits; needed unless on loopback
    #[arg(long, value_name = "FILE")]
    pub(crate) prom_token_file: Option<PathBuf>,
    /// Name by which HTTP is also reached without a token, besides IP addresses and localhost (repeatable)
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    pub(crate) http_host: Vec<String>,
    /// Requests a second from one address; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) prom_rate_limit_per_sec: u32,
    /// How far above that rate a burst may go; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) prom_rate_limit_burst: u32,
    /// A scrape slower than this is counted
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(crate) scrape_budget_ms: u64,
    /// A turn of the loop slower than this is counted
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(crate) iteration_budget_ms: u64,
    /// Socket of `top`, `events` and `check` [default: the socket's path and ".control"]
    #[arg(long, value_name = "PATH")]
    pub(crate) control_socket: Option<PathBuf>,
}

/// Who looks after the daemon, and how it ends.
#[derive(Debug, Args)]
#[command(next_help_heading = "Watchdogs and shutdown")]
pub(crate) struct Keeping {
    /// Write the loop's count and time to this file once a second
    #[arg(long, value_name = "FILE")]
    pub(crate) heartbeat_file: Option<PathBuf>,
    /// Abort when the loop is stuck for so long [default: 4 under systemd's watchdog]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) self_watchdog_secs: Option<u64>,
    /// Feed this hardware watchdog
    #[arg(long, value_name = "DEVICE")]
    pub(crate) hw_watchdog: Option<PathBuf>,
    /// End after so long
    #[arg(long, value_name = "SECONDS")]
    pub(crate) shutdown_after_secs: Option<u64>,
    /// How long ending may take
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) shutdown_grace_ms: u64,
}

/// What it says of itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct Logging {
    /// The least that is logged
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,
    /// What the lines are; auto is text on a terminal, else JSON
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
