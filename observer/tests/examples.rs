//! Runs each example with an agent that beats three times and exits.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::{End, Folder, TestAgent, wait_until};

/// The path of an example, which `cargo test` builds next to the tests.
fn example(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path =
        program.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing; run cargo build --examples", path.display());
    path
}

#[test]
fn each_example_follows_an_agent_to_its_end() {
    for (name, arguments) in
        [("watch", &["--exits", "1"][..]), ("beside_mio", &[]), ("beside_tokio", &[])]
    {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut command = Command::new(example(name));
        command.arg(&path).args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let running = command.spawn().unwrap();
        wait_until(|| path.exists());
        let mut agent = TestAgent::at(&path);
        agent.beat_and_end(3, End::Exit, 7);
        agent.reap();
        let ended = running.wait_with_output().unwrap();
        let output = String::from_utf8(ended.stdout).unwrap();
        assert!(ended.status.success(), "{name}: {output}");
        assert_eq!(output.matches(": beat, ok").count(), 3, "{name}: {output}");
        assert!(
            output.trim_end().ends_with("exit, exit code 7, last status ok"),
            "{name}: {output}"
        );
    }
}
