//! What a daemon that is not root sees of processes of other users.

use std::process::Command;

use crate::hangs;
use crate::support::{Daemon, WATCH, needs_root};
use crate::world::World;

const UNIT: &str = include_str!("../../../deploy/systemd/varta-watch.service");
const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes/varta-watch.yaml");

/// The names of capabilities, as `setpriv` takes them.
fn names<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<_> =
        words.map(|word| word.trim_start_matches("CAP_").to_lowercase()).collect();
    names.sort();
    names
}

/// The capabilities in a line of the unit.
fn of_unit(before: &str) -> Vec<String> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix(before)).unwrap();
    names(line.split_whitespace())
}

/// The capabilities that the DaemonSet adds.
fn of_daemon_set() -> Vec<String> {
    let lines = DAEMON_SET.lines().map(str::trim).skip_while(|line| *line != "capabilities:");
    let added = lines.skip_while(|line| *line != "add:").skip(1);
    names(added.map_while(|line| line.strip_prefix("- ")))
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
    let given = of_unit("AmbientCapabilities=");
    assert_eq!(given, of_unit("CapabilityBoundingSet="));
    assert_eq!(given, of_daemon_set());
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
