//! Agents in languages that are compiled, which is done once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The agent in Go.
pub(crate) fn go() -> Option<&'static Path> {
    static AGENT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let source = source("agent.go", include_str!("agent.go"))?;
        let agent = source.with_file_name("agent");
        let mut command = Command::new("go");
        succeeds(command.args(["build", "-o"]).arg(&agent).arg(&source)).then_some(agent)
    };
    AGENT.get_or_init(build).as_deref()
}

/// The folder of the agent in Java.
pub(crate) fn java() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let source = source("Agent.java", include_str!("Agent.java"))?;
        let mut command = Command::new("javac");
        succeeds(command.arg(&source)).then(|| source.with_file_name(""))
    };
    FOLDER.get_or_init(build).as_deref()
}

/// A file with this content, beside which the result of the compiler has its place.
fn source(name: &str, content: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("causes").join(name);
    fs::create_dir_all(&folder).ok()?;
    let source = folder.join(name);
    fs::write(&source, content).ok()?;
    Some(source)
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|built| built.status.success())
}
