//! The command line: its definition, and the errors for mistakes.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::flags::Flags;

/// Watches processes that send heartbeats and reports stalls, exits and recoveries
///
/// For example: `varta-watch --socket /run/varta.sock --threshold-ms 2000`. Every flag can also
/// be a key of a TOML file (--config), without its dashes; the command line takes
/// precedence. SIGHUP reloads the file, keys and token, SIGUSR1 writes the state to the log,
/// and SIGTERM stops the daemon.
#[derive(Debug, Parser)]
#[command(
    name = "varta-watch",
    version,
    max_term_width = 80,
    args_override_self = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 success, 1 failure at run time, 2 bad arguments or a bad file."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The subcommands. Without one, the daemon runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Top(commands::top::Arguments),
    Events(commands::events::Arguments),
    Check(commands::check::Arguments),
    History(commands::history::Arguments),
    Rules(commands::rules::Arguments),
    Replay(commands::replay::Arguments),
    Why(commands::why::Arguments),
    Run(commands::run::Arguments),
    Signal(commands::signal::Arguments),
    Decode(commands::decode::Arguments),
    #[command(subcommand)]
    Audit(commands::audit::Arguments),
}

/// Flags that early versions of varta-watch had, and what to use instead.
const REMOVED: [(&str, &str); 6] = [
    ("--recovery-cmd", "use --recovery-exec: it runs a command without a shell"),
    ("--recovery-cmd-file", "use --recovery-exec-file: it runs a command without a shell"),
    ("--i-accept-shell-risk", "leave it out: --recovery-exec never runs a shell"),
    ("--key-env", "use --key-file: the environment is readable to others"),
    ("--accepted-key-env", "use --accepted-key-file: the environment is readable to others"),
    ("--master-key-env", "use --master-key-file: the environment is readable to others"),
];

/// Parses a command line.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    refuse_removed(arguments)?;
    let matches = Cli::command().try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

fn refuse_removed(arguments: &[OsString]) -> Result<(), clap::Error> {
    let flags = arguments.get(1..).unwrap_or_default();
    if flags.first().is_some_and(|first| !first.as_encoded_bytes().starts_with(b"-")) {
        // A subcommand, which has its own arguments.
        return Ok(());
    }
    for argument in flags.iter().filter_map(|argument| argument.to_str()) {
        let name = argument.split_once('=').map_or(argument, |(name, _)| name);
        if let Some((name, instead)) = REMOVED.iter().find(|(removed, _)| *removed == name) {
            let text = format!("{name} was removed; {instead}");
            return Err(Cli::command().error(ErrorKind::UnknownArgument, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        let words: Vec<OsString> =
            ["varta-watch"].into_iter().chain(line.split(' ')).map(Into::into).collect();
        parse(&words)
    }

    #[test]
    fn the_clap_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_value_follows_a_space_or_an_equals_sign_and_the_last_one_wins() {
        let cli =
            parsed("--socket /a --threshold-ms=20 --socket=/b --threshold-ms 30").unwrap();
        assert_eq!(cli.flags.listening.socket.unwrap().to_str(), Some("/b"));
        assert_eq!(cli.flags.listening.threshold_ms, Some(30));
    }

    #[test]
    fn the_error_for_a_removed_flag_names_its_replacement() {
        for (name, instead) in REMOVED {
            for line in [name.to_owned(), format!("{name}=x"), format!("{name} x")] {
                let error = parsed(&line).unwrap_err();
                assert_eq!(error.exit_code(), 2);
                let text = error.to_string();
                assert!(text.contains(name) && text.contains(instead), "{text}");
            }
        }
    }

    #[test]
    fn help_lines_have_at_most_80_columns() {
        let help = Cli::command().term_width(80).render_long_help().to_string();
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:?}");
    }
}
