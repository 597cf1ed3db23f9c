//! The file: the flags, in TOML. Each key becomes the argument that it stands for, so that
//! there is one reader and one set of rules for both.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use rustix::process::geteuid;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Refusal, at_line};
use crate::cli::{self, Cli};

/// What only the command line may say.
const NOT_IN_A_FILE: [&str; 4] = ["config", "check-config", "help", "version"];

/// With these the file decides what is run.
const NAMES_A_COMMAND: [&str; 2] = ["recovery-exec", "recovery-exec-file"];

#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    path: PathBuf,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    name: String,
    line: usize,
    arguments: Vec<OsString>,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, Refusal> {
        let unfit = |why: &dyn fmt::Display| {
            Refusal::Unfit(format!("--config {}: {why}", path.display()))
        };
        let mut text = String::new();
        let about = File::open(path)
            .and_then(|mut file| file.read_to_string(&mut text).and_then(|_| file.metadata()))
            .map_err(|error| unfit(&error))?;
        let file = Self::parse(path, &text).map_err(Refusal::Unfit)?;
        let mut keys = file.keys.iter();
        if let Some(key) = keys.find(|key| NAMES_A_COMMAND.contains(&key.name.as_str())) {
            check_writers(&about, &key.name).map_err(|why| unfit(&why))?;
        }
        Ok(file)
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
        for (name, value) in table.get_ref() {
            let line = line(name.span().start);
            let unfit = |why| format!("{}: {}: {why}", at_line(path, line), name.get_ref());
            let arguments = arguments_of(name.get_ref(), value).map_err(unfit)?;
            check_alone(&arguments).map_err(unfit)?;
            keys.push(Key { name: name.get_ref().to_string(), line, arguments });
        }
        Ok(Self { path: path.to_owned(), keys })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn arguments(&self) -> impl Iterator<Item = &OsString> {
        self.keys.iter().flat_map(|key| &key.arguments)
    }

    /// Where a key stands, in words.
    pub(super) fn line_of(&self, name: &str) -> Option<String> {
        let key = self.keys.iter().find(|key| key.name == name)?;
        Some(at_line(&self.path, key.line))
    }
}

/// Anyone who can write the file decides what the daemon runs.
fn check_writers(about: &Metadata, key: &str) -> Result<(), String> {
    let (owner, own, mode) = (about.uid(), geteuid().as_raw(), about.mode() & 0o7777);
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

fn arguments_of(name: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, String> {
    let known = Cli::command();
    let known = known
        .get_arguments()
        .find(|argument| argument.get_long() == Some(name) && !NOT_IN_A_FILE.contains(&name));
    let Some(known) = known else {
        return Err("there is no such key; `varta-watch --help` lists them".to_owned());
    };
    let takes_value = known.get_action().takes_values();
    let flag = format!("--{name}");
    match value.get_ref() {
        DeValue::Boolean(said) if !takes_value => {
            Ok(said.then(|| flag.into()).into_iter().collect())
        }
        _ if !takes_value => Err("give true or false".to_owned()),
        DeValue::Array(list) => list.iter().map(|value| with_value(&flag, value)).collect(),
        _ => Ok(vec![with_value(&flag, value)?]),
    }
}

fn with_value(flag: &str, value: &Spanned<DeValue<'_>>) -> Result<OsString, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(format!("{flag}={text}").into()),
        DeValue::Integer(number) if number.radix() == 10 => {
            Ok(format!("{flag}={}", number.as_str()).into())
        }
        _ => Err("give text in quotes or a decimal number".to_owned()),
    }
}

/// Whether an argument would do on a command line of its own.
fn check_alone(arguments: &[OsString]) -> Result<(), String> {
    let words: Vec<_> =
        [OsString::from("varta-watch")].into_iter().chain(arguments.iter().cloned()).collect();
    cli::parse(&words).map(drop).map_err(|error| {
        let text = error.to_string();
        let why = text.split("\n\n").next().unwrap_or(&text);
        why.strip_prefix("error: ").unwrap_or(why).trim_end().replace('\n', " ")
    })
}
