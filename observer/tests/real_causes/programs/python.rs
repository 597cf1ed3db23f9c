//! Agents in Python.

use std::process::Command;
use std::sync::OnceLock;

/// The interpreter itself, rather than a script that starts it.
pub(crate) fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let code = "import sys; print(sys.executable)";
        let found = Command::new("python3").args(["-c", code]).output().ok()?;
        let path = String::from_utf8(found.stdout).ok()?.trim().to_owned();
        (found.status.success() && !path.is_empty()).then_some(path)
    };
    PYTHON.get_or_init(find).as_deref()
}

pub(super) fn command(prepare: &str, hang: &str, start: &str) -> Command {
    let indent = |lines: &str| lines.replace('\n', "\n    ");
    let code = format!(
        "\
import asyncio, os, queue, re, socket, sys, threading, time
beats = [bytes.fromhex(line) for line in sys.stdin]
agent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
agent.connect(os.environ['SOCKET'])
def main():
    for beat in beats[:-1]:
        agent.send(beat)
        time.sleep(int(os.environ['EVERY_MS']) / 1000)
    {}
    agent.send(beats[-1])
    {}
{start}
",
        indent(prepare),
        indent(hang)
    );
    let mut command = Command::new(python().unwrap());
    command.args(["-c", &code]);
    command
}
