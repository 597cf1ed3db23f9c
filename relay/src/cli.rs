//! The command line and the configuration file.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use hyper::Uri;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use tracing::level_filters::LevelFilter;

use crate::connection::Nats;
use crate::watch;

/// Publishes what varta-watch records on this host to NATS JetStream
///
/// It reads the daemon's history, publishes each transition (a stall, an exit and so on),
/// waits until the stream has stored it, and then goes on. Nothing is lost while the history
/// lasts. Every flag can also be a key of a TOML file (--config), without its dashes; the
/// command line takes precedence.
#[derive(Debug, Parser)]
#[command(
    name = "varta-relay",
    version,
    max_term_width = 80,
    args_override_self = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 success, 1 failure at run time, 2 bad arguments or a bad file."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(flatten)]
    pub(crate) nats: Nats,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The subcommands. Without one, the relay runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Watch(watch::Arguments),
}

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Read flags from this TOML file
    #[arg(long, value_name = "FILE", global = true, help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,
    /// Check flags and files, then exit
    #[arg(long, help_heading = "Configuration")]
    pub(crate) check_config: bool,
    /// The daemon's history
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/var/lib/varta/history",
        help_heading = "History"
    )]
    pub(crate) history_dir: PathBuf,
    /// Remember in this file how far the history is published. Its folder must exist
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/lib/varta-relay/cursor.json",
        help_heading = "History"
    )]
    pub(crate) cursor_file: PathBuf,
    /// Create the streams VARTA_EVENT and VARTA_STATE if no stream stores the subjects yet
    #[arg(long, help_heading = "Publishing")]
    pub(crate) create_stream: bool,
    /// Messages that may be sent before the first of them is confirmed
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=4096), help_heading = "Publishing")]
    pub(crate) window: u16,
    /// Answer requests to varta.ask.HOST with the agents at this address of the daemon, which is
    /// that of its --prom-addr
    #[arg(long, value_name = "URL", value_parser = agents_url, help_heading = "Requests")]
    pub(crate) agents_url: Option<Uri>,
    /// The daemon's token, as in its --prom-token-file
    #[arg(long, value_name = "FILE", requires = "agents_url", help_heading = "Requests")]
    pub(crate) agents_token_file: Option<PathBuf>,
    /// Name of this host in varta.ask.HOST [default: its host name]
    #[arg(long, value_name = "NAME", help_heading = "Requests")]
    pub(crate) host: Option<String>,
    /// Serve /metrics and /healthz at this address
    #[arg(long, value_name = "IP:PORT", help_heading = "Metrics and log")]
    pub(crate) metrics_addr: Option<SocketAddr>,
    /// Minimum log level
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info, help_heading = "Metrics and log")]
    log_level: LogLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// The command line or the file is invalid.
#[derive(Debug)]
pub(crate) enum Refusal {
    Usage(clap::Error),
    Invalid(String),
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl Flags {
    /// Checks what the flags refer to.
    pub(crate) fn check(&self) -> Result<(), String> {
        let file = std::path::absolute(&self.cursor_file).map_err(|error| error.to_string())?;
        if file.file_name().is_none() || !file.parent().is_some_and(Path::is_dir) {
            let file = self.cursor_file.display();
            return Err(format!("--cursor-file {file}: its folder does not exist; create it"));
        }
        if let Some(file) = &self.agents_token_file {
            secret(file).map_err(|why| format!("--agents-token-file {why}"))?;
        }
        Ok(())
    }

    pub(crate) const fn log_level(&self) -> LevelFilter {
        match self.log_level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        }
    }
}

fn agents_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    if url.scheme_str() != Some("http") || url.host().is_none() {
        return Err("give a URL like http://127.0.0.1:9464".to_owned());
    }
    if !matches!(url.path(), "" | "/" | "/agents") || url.query().is_some() {
        return Err("give the address only; the path is always /agents".to_owned());
    }
    Ok(url)
}

/// Reads a file with a secret, without the white space at its end.
pub(crate) fn secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    match text.trim() {
        "" => Err(format!("{shown}: the file is empty")),
        text => Ok(text.to_owned()),
    }
}

/// Parses the command line, and puts the keys of the file before it.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, Refusal> {
    let cli = parse_only(arguments)?;
    let Some(path) = &cli.flags.config else { return Ok(cli) };
    let invalid = |why: String| Refusal::Invalid(format!("--config {}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
    let keys = arguments_of(&text).map_err(invalid)?;
    // Each key by itself first, so that a mistake in the file is reported as one of the file.
    for key in &keys {
        match parse_only(&["varta-relay".into(), key.clone()]) {
            Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => {
                let text = error.to_string();
                let why = text.split("\n\n").next().unwrap_or(&text).trim_end();
                return Err(invalid(why.trim_start_matches("error: ").replace('\n', " ")));
            }
            _ => {}
        }
    }
    let (name, rest) = arguments.split_at(arguments.len().min(1));
    let all: Vec<_> = name.iter().chain(&keys).chain(rest).cloned().collect();
    Ok(parse_only(&all)?)
}

fn parse_only(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// The keys of a file as arguments.
fn arguments_of(text: &str) -> Result<Vec<OsString>, String> {
    let table = DeTable::parse(text).map_err(|error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })?;
    let mut arguments = Vec::new();
    for (name, value) in table.get_ref() {
        let name = name.get_ref();
        if matches!(name.as_ref(), "config" | "check-config" | "help" | "version") {
            return Err(format!("{name}: this is only valid on the command line"));
        }
        let named = |why| format!("{name}: {why}");
        let argument = match value.get_ref() {
            DeValue::Boolean(true) => format!("--{name}"),
            DeValue::Boolean(false) => continue,
            DeValue::Array(list) => {
                let values: Result<Vec<_>, _> = list.iter().map(text_of).collect();
                format!("--{name}={}", values.map_err(named)?.join(","))
            }
            _ => format!("--{name}={}", text_of(value).map_err(named)?),
        };
        arguments.push(argument.into());
    }
    Ok(arguments)
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Result<String, &'static str> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        _ => Err("give text in quotes, a decimal number, true or false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        ["varta-relay"].into_iter().chain(line.split_whitespace()).map(Into::into).collect()
    }

    #[test]
    fn the_clap_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_lines_have_at_most_80_columns() {
        let help = Cli::command().term_width(80).render_long_help().to_string();
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:?}");
    }

    #[test]
    fn the_command_line_takes_precedence_over_the_keys_of_a_file() {
        let file =
            std::env::temp_dir().join(format!("varta-relay-{}.toml", std::process::id()));
        let text = "server = [\"nats://a\", \"nats://b\"]\nwindow = 7\ncreate-stream = true\n";
        fs::write(&file, text).unwrap();
        let line = format!("--config {} --window 9", file.display());
        let cli = parse(&words(&line)).unwrap();
        assert_eq!(cli.nats.addresses(), "nats://a:4222, nats://b:4222");
        assert_eq!((cli.flags.window, cli.flags.create_stream), (9, true));
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn mistakes_in_a_file_are_reported_with_the_key() {
        for (text, wanted) in [
            ("windows = 7", "--windows"),
            ("window = 0", "0 is not in 1..=4096"),
            ("window = 1.5", "window: give text"),
            ("config = \"x\"", "only valid on the command line"),
        ] {
            let found = arguments_of(text).and_then(|keys| {
                let all: Vec<_> = words("").into_iter().chain(keys).collect();
                parse_only(&all).map(drop).map_err(|error| error.to_string())
            });
            let found = found.unwrap_err();
            assert!(found.contains(wanted), "{text}: {found}");
        }
    }

    #[test]
    fn the_address_of_the_daemon_is_checked() {
        assert!(agents_url("http://127.0.0.1:9464").is_ok());
        for url in ["https://127.0.0.1:9464", "127.0.0.1", "http://h/metrics", "http://"] {
            assert!(agents_url(url).is_err(), "{url}");
        }
    }
}
