//! The scrape of a fleet must have the counts of each program, none of single agents, and a
//! bounded size.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::Path;

use support::http::{Reply, address_of, get, get_with, sample};
use support::{Agent, Daemon, Folder, crowd, start_named, text_of, wait_until};

const FLEET: &str = "/metrics?collect%5B%5D=daemon&collect%5B%5D=programs";
const FLAGS: [&str; 4] = ["--prom-addr", "127.0.0.1:0", "--prom-rate-limit-burst", "0"];
const UDP: [&str; 5] =
    ["--udp-port", "0", "--i-accept-plaintext-udp", "--udp-bind-addr", "127.0.0.1"];

fn start(folder: &Folder, flags: &[&str]) -> (Daemon, String) {
    let daemon = Daemon::start(folder, &[&FLAGS[..], flags].concat());
    let address = address_of(&daemon);
    (daemon, address)
}

fn samples(metrics: &str) -> Vec<&str> {
    metrics.lines().filter(|line| !line.starts_with('#')).collect()
}

#[track_caller]
fn wait_for(address: &str, name: &str, wanted: f64) {
    wait_until(|| sample(&get(address, FLEET).body, name) == Some(wanted));
}

#[test]
fn a_program_has_the_sums_of_its_agents_and_keeps_them_when_they_are_gone() {
    let folder = Folder::new();
    let config = folder.join("varta.toml");
    fs::write(&config, "[[expect]]\nprogram = \"indexer\"\ncount = 2\nwithin-ms = 1\n")
        .unwrap();
    let flags = ["--threshold-ms", "2000", "--causes", "on", "--config"];
    let (daemon, address) = start(&folder, &[&flags[..], &[config.to_str().unwrap()]].concat());
    let mut cooks = [(); 2].map(|()| Agent::named(daemon.socket(), c"cook"));
    let _baker = Agent::named(daemon.socket(), c"baker");
    wait_for(&address, "varta_program_agents{program=\"cook\"}", 2.0);
    wait_for(&address, "varta_missing_agents{program=\"indexer\"}", 2.0);
    cooks[0].stop();
    wait_for(&address, "varta_program_stalled_agents{program=\"cook\"}", 1.0);
    let metrics = get(&address, FLEET).body;
    let of = |name: &str| sample(&metrics, name);
    assert_eq!(of("varta_program_stalls_total{program=\"cook\",class=\"outside\"}"), Some(1.0));
    assert_eq!(
        of("varta_program_stalls_total{program=\"baker\",class=\"outside\"}"),
        Some(0.0)
    );
    assert_eq!(of("varta_program_agents{program=\"baker\"}"), Some(1.0));
    assert_eq!(of("varta_expected_agents{program=\"indexer\"}"), Some(2.0));
    assert_eq!(of("varta_expected_agents{program=\"cook\"}"), None);
    assert_eq!(of("varta_program_late_tasks{program=\"cook\"}"), Some(0.0));
    let beats = of("varta_program_beats_total{program=\"cook\"}").unwrap();
    let intervals = of("varta_program_beat_interval_seconds_count{program=\"cook\"}").unwrap();
    assert!(beats >= 8.0 && intervals >= 6.0 && intervals < beats, "{intervals} of {beats}");
    let version =
        format!("varta_watch_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(of(&version), Some(1.0));
    // What belongs to one agent is in no label.
    assert!(!metrics.contains("pid=") && !metrics.contains("agent="), "{metrics}");

    let pid = cooks[0].pid();
    for cook in &mut cooks {
        cook.kill();
    }
    wait_for(&address, "varta_program_agents{program=\"cook\"}", 0.0);
    let open =
        get_with(&address, FLEET, "Accept: application/openmetrics-text;version=1.0.0\r\n");
    let kept = sample(&open.body, "varta_program_beats_total{program=\"cook\"}").unwrap();
    assert!(kept >= beats, "{kept} after {beats}");
    // The last agent that was counted is the exemplar.
    let line = |name: &str| open.body.lines().find(|line| line.starts_with(name)).unwrap();
    let stall =
        line("varta_program_stalls_total{program=\"cook\",class=\"outside\"} 1 # {agent=\"");
    assert!(stall.contains(&format!(",pid=\"{pid}\",cause=\"stopped\"}} 1 ")), "{stall}");
    let exit =
        line("varta_program_exits_total{program=\"cook\",cause=\"signalled\"} 2 # {agent=\"");
    assert!(
        cooks.iter().any(|cook| exit.contains(&format!(",pid=\"{}\"}} 1 ", cook.pid()))),
        "{exit}"
    );
}

#[test]
fn the_size_does_not_depend_on_the_number_of_agents() {
    let folder = Folder::new();
    let notify = folder.join("notify.sock");
    let flags = ["--threshold-ms", "60000", "--causes", "on", "--notify-socket"];
    let flags = [&flags[..], &[notify.to_str().unwrap()], &UDP].concat();
    let (daemon, address) = start(&folder, &flags);
    crowd(&daemon, &address, 10);
    let before = get(&address, FLEET).body;
    crowd(&daemon, &address, 1_000);
    let after = get(&address, FLEET).body;
    assert_eq!(sample(&after, "varta_program_agents{program=\"other\"}"), Some(1_000.0));
    assert_eq!(samples(&before).len(), samples(&after).len());
    let daemon = get(&address, "/metrics?collect[]=daemon").body;
    let programs = get(&address, "/metrics?collect[]=programs").body;
    assert!(samples(&daemon).len() <= 100, "{}", samples(&daemon).len());
    assert!(samples(&programs).len() <= 32, "{}", samples(&programs).len());
    assert_eq!(samples(&daemon).len() + samples(&programs).len(), samples(&after).len());
}

#[test]
fn programs_beyond_the_first_200_are_summed() {
    let folder = Folder::new();
    let (daemon, address) = start(&folder, &["--threshold-ms", "600000"]);
    let names = (0..205).map(|number| CString::new(format!("program-{number}")).unwrap());
    let agents: Vec<_> = names.map(|name| start_named(daemon.socket(), &name)).collect();
    wait_for(&address, "varta_watch_pids_tracked", 205.0);
    let metrics = get(&address, FLEET).body;
    let programs = metrics.matches("\nvarta_program_agents{").count();
    assert_eq!(programs, 201);
    assert_eq!(sample(&metrics, "varta_program_agents{program=\"other\"}"), Some(5.0));
    drop(agents);
    // Nothing is counted twice when they are gone.
    wait_for(&address, "varta_program_exits_total{program=\"other\",cause=\"signalled\"}", 5.0);
}

#[test]
fn an_unknown_part_is_a_bad_request_and_the_plain_scrape_has_no_counts_by_program() {
    let folder = Folder::new();
    let (_daemon, address) = start(&folder, &["--threshold-ms", "2000"]);
    let Reply { status, body, .. } =
        get(&address, "/metrics?collect[]=daemon&collect[]=agents");
    assert_eq!(status, 400);
    assert_eq!(
        body,
        "collect[] has the unknown value \"agents\"; known values are daemon and programs\n"
    );
    let plain = get(&address, "/metrics?name=value").body;
    assert!(!plain.contains("varta_program_agents") && !plain.contains("build_info"));
    assert!(plain.contains("varta_observer_stage_seconds"));
}

#[test]
fn the_docs_list_the_families_of_programs_and_no_other() {
    let folder = Folder::new();
    let (_daemon, address) = start(&folder, &["--threshold-ms", "2000"]);
    let metrics = get(&address, "/metrics?collect[]=programs").body;
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let shown: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();
    let docs = text_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet.md"));
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| varta_"));
    let listed: Vec<_> =
        rows.map(|row| format!("varta_{}", row.split(' ').next().unwrap())).collect();
    assert_eq!(listed.iter().map(String::as_str).collect::<BTreeSet<_>>(), shown);
}
