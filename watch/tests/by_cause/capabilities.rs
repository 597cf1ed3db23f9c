//! What a daemon that is not root sees of processes of other users.

use std::process::Command;

use crate::hangs;
use crate::support::{Daemon, WATCH, needs_root};
use crate::world::World;

const UNIT: &str = include_str!("../../../deploy/systemd/varta-watch.service");
const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes/varta-watch.yaml");

/// The words of a line, as `setpriv` takes them.
fn capabilities(text: &str, before: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(before)).unwrap();
    let words = line.split([' ', ',', ']']).filter(|word| !word.is_empty());
    let mut names: Vec<_> =
        words.map(|word| word.trim_start_matches("CAP_").to_lowercase()).collect();
    names.sort();
    names
}

/// A daemon of another user than this process, with these capabilities alone.
fn world(capabilities: &[String]) -> World {
    World::with(|folder, flags| {
        let listed: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
        for set in ["bounding-set", "inh-caps", "ambient-caps"] {
            command.arg(format!("--{set}=-all{listed}"));
        }
        command.args([WATCH, "--socket"]).arg(folder.join("varta.sock"));
        command.args(["--log-format", "json", "--uids", "any", "--socket-mode", "0666"]);
        Daemon::start_as(folder, command.args(flags))
    })
}

#[test]
fn with_the_capabilities_of_the_unit_it_is_known_that_a_process_waits_for_a_lock() {
    if !needs_root() {
        return;
    }
    let given = capabilities(UNIT, "AmbientCapabilities=");
    assert_eq!(given, capabilities(UNIT, "CapabilityBoundingSet="));
    assert_eq!(given, capabilities(DAEMON_SET, "add: ["));
    let world = world(&given);
    let agent = world.agent(hangs::locks::on_a_mutex);
    agent.hang();
    let started = world.wait_for_command(agent.pid());
    assert_eq!(started.stall, "lock", "{started:?}");
    world.wait_for_line(agent.pid(), |line| line.contains("held by thread"));
}

#[test]
fn without_capabilities_it_is_only_known_that_a_process_sleeps() {
    if !needs_root() {
        return;
    }
    let world = world(&[]);
    let agent = world.agent(hangs::locks::on_a_mutex);
    agent.hang();
    let started = world.wait_for_command(agent.pid());
    assert_eq!((&*started.class, &*started.stall), ("own", "asleep"), "{started:?}");
    assert!(started.detail.contains("no permission"), "{started:?}");
}
