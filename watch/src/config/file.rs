//! The configuration file: the flags, in TOML. Each key is converted to the matching
//! command-line argument, so that one parser and one set of rules apply to both.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{ArgAction, CommandFactory};
use rustix::process::geteuid;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Refusal, at_line};
use crate::cli::{self, Cli};
use crate::rules::{self, Rules};

/// Flags that are only valid on the command line.
const NOT_IN_A_FILE: [&str; 4] = ["config", "check-config", "help", "version"];

/// Keys that let the file decide which command is run.
const NAMES_A_COMMAND: [&str; 2] = ["recovery-exec", "recovery-exec-file"];

#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    path: PathBuf,
    keys: Vec<Key>,
    pub(super) rules: Rules,
}

#[derive(Debug)]
struct Key {
    name: String,
    line: usize,
    arguments: Vec<OsString>,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, Refusal> {
        let (file, metadata) = Self::open("--config ", path)?;
        if let Some(key) = file.key_with_command() {
            check_writers(&metadata, key).map_err(|why| {
                Refusal::Invalid(format!("--config {}: {why}", path.display()))
            })?;
        }
        Ok(file)
    }

    /// Reads a file by which no command will be run, so that anyone may be able to write it.
    pub(super) fn read_unchecked(path: &Path) -> Result<Self, Refusal> {
        Self::open("", path).map(|(file, _)| file)
    }

    /// `flag` is how the file was named.
    fn open(flag: &str, path: &Path) -> Result<(Self, Metadata), Refusal> {
        let mut text = String::new();
        let metadata = File::open(path)
            .and_then(|mut file| file.read_to_string(&mut text).and_then(|_| file.metadata()))
            .map_err(|error| Refusal::Invalid(format!("{flag}{}: {error}", path.display())))?;
        let file = Self::parse(path, &text).map_err(Refusal::Invalid)?;
        Ok((file, metadata))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let line = |offset: usize| {
            text.get(..offset).unwrap_or(text).bytes().filter(|byte| *byte == b'\n').count() + 1
        };
        let table = DeTable::parse(text).map_err(|error| {
            let at = line(error.span().map_or(0, |span| span.start));
            format!("{}: {}", at_line(path, at), error.message())
        })?;
        let mut keys = Vec::new();
        let mut rules = Rules::default();
        for (name, value) in table.get_ref() {
            if rules::is_table(name.get_ref()) {
                rules::add(&mut rules, name, value, text, line).map_err(|invalid| {
                    let at = at_line(path, line(invalid.offset));
                    format!("{at}: {}: {}", invalid.key, invalid.why)
                })?;
                continue;
            }
            let line = line(name.span().start);
            let invalid = |why| format!("{}: {}: {why}", at_line(path, line), name.get_ref());
            let arguments = arguments_of(name.get_ref(), value).map_err(invalid)?;
            check_alone(&arguments).map_err(invalid)?;
            keys.push(Key { name: name.get_ref().to_string(), line, arguments });
        }
        Ok(Self { path: path.to_owned(), keys, rules })
    }

    /// The first key that decides which command is run.
    fn key_with_command(&self) -> Option<&str> {
        let mut keys = self.keys.iter().map(|key| key.name.as_str());
        let in_a_rule = self.rules.have_commands();
        keys.find(|key| NAMES_A_COMMAND.contains(key))
            .or(in_a_rule.then_some("the recovery-exec of a rule"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn arguments(&self) -> impl Iterator<Item = &OsString> {
        self.keys.iter().flat_map(|key| &key.arguments)
    }

    /// The position of a key, for error messages.
    pub(super) fn line_of(&self, name: &str) -> Option<String> {
        let key = self.keys.iter().find(|key| key.name == name)?;
        Some(at_line(&self.path, key.line))
    }
}

/// Anyone who can write the file decides what the daemon runs.
fn check_writers(metadata: &Metadata, key: &str) -> Result<(), String> {
    let (owner, own, mode) = (metadata.uid(), geteuid().as_raw(), metadata.mode() & 0o7777);
    if owner != own && owner != 0 {
        return Err(format!("it sets {key} and belongs to uid {owner}; run chown {own} on it"));
    }
    if mode & 0o022 != 0 {
        return Err(format!(
            "it sets {key} and its mode {mode:04o} lets other users write it; run chmod go-w on it"
        ));
    }
    Ok(())
}

/// Whether this is a key of the file that has a flag.
pub(crate) fn is_flag(name: &str) -> bool {
    !NOT_IN_A_FILE.contains(&name)
        && Cli::command().get_arguments().any(|argument| argument.get_long() == Some(name))
}

fn arguments_of(name: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, String> {
    let known = Cli::command();
    let known = known
        .get_arguments()
        .find(|argument| argument.get_long() == Some(name) && !NOT_IN_A_FILE.contains(&name));
    let Some(known) = known else {
        return Err("unknown key; `varta-watch --help` lists the valid ones".to_owned());
    };
    let takes_value = known.get_action().takes_values();
    let flag = format!("--{name}");
    match value.get_ref() {
        DeValue::Boolean(enabled) if !takes_value => {
            Ok(enabled.then(|| flag.into()).into_iter().collect())
        }
        _ if !takes_value => Err("give true or false".to_owned()),
        DeValue::Array(list) => {
            let values: Result<Vec<_>, _> = list.iter().map(text_of).collect();
            let values = match known.get_action() {
                ArgAction::Append => values?,
                // The value is a list by itself.
                _ => vec![values?.join(",")],
            };
            Ok(values.into_iter().map(|value| format!("{flag}={value}").into()).collect())
        }
        _ => Ok(vec![format!("{flag}={}", text_of(value)?).into()]),
    }
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        _ => Err("give text in quotes or a decimal number".to_owned()),
    }
}

/// Checks whether an argument is valid by itself.
fn check_alone(arguments: &[OsString]) -> Result<(), String> {
    let words: Vec<_> =
        [OsString::from("varta-watch")].into_iter().chain(arguments.iter().cloned()).collect();
    cli::parse(&words).map(drop).map_err(|error| {
        let text = error.to_string();
        let why = text.split("\n\n").next().unwrap_or(&text);
        why.strip_prefix("error: ").unwrap_or(why).trim_end().replace('\n', " ")
    })
}
