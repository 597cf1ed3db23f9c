//! Recovery by the cause of a silence: real processes in each state, and what the daemon does.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]
#![allow(unsafe_code, reason = "system calls of a process that hangs")]
#![allow(clippy::incompatible_msrv, reason = "tests run with the current Rust")]

mod capabilities;
mod dumping;
#[allow(dead_code, reason = "some hang in ways that are not tested here")]
#[path = "../../../observer/tests/real_causes/hangs/mod.rs"]
mod hangs;
mod lock_owners;
#[allow(dead_code, reason = "as above")]
#[path = "../../../observer/tests/real_causes/mounts.rs"]
mod mounts;
#[allow(dead_code, reason = "as above")]
#[path = "../../../observer/tests/real_causes/outside.rs"]
mod outside;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use hangs::{Hang, Last};
use outside::Hold;
use support::{Daemon, Ended, WATCH, kernel_lacks, kill, ms, needs_root, wait_until};
use varta::{BeatOutcome, Status, Varta};
use world::{Agent, Shape, THRESHOLD_S, World, uptime};

#[test]
fn a_process_that_is_held_gets_no_command_and_a_whole_threshold_when_that_ends() {
    if !needs_root() {
        return;
    }
    let mut holds =
        vec![("stopped", outside::stop as fn(u32) -> Hold), ("traced", outside::trace)];
    if mounts::mount_of("cgroup", "freezer").is_some() {
        holds.push(("frozen", outside::freeze_v1));
    }
    if mounts::mount_of("cgroup2", "").is_some() {
        holds.push(("frozen", outside::freeze_v2));
    }
    if holds.len() == 2 {
        kernel_lacks("a control group that can be frozen");
    }
    let world = World::new();
    let mut held: Vec<_> = holds
        .into_iter()
        .map(|(cause, hold)| {
            let agent = world.agent(hangs::waits::parked);
            let hold = hold(agent.pid());
            (cause, Some(hold), agent)
        })
        .collect();
    for (cause, _, agent) in &held {
        world.wait_until_held(agent.pid(), [*cause]);
    }
    let mut released = Vec::new();
    for (cause, hold, agent) in &mut held {
        assert!(world.started(agent.pid()).is_empty(), "{cause}");
        agent.tell_to_hang();
        released.push(uptime());
        let _ = hold.take();
        kill(agent.pid(), libc::SIGCONT);
    }
    for ((cause, _, agent), released) in held.iter().zip(released) {
        let started = world.wait_for_command(agent.pid());
        assert_eq!((&*started.cause, &*started.class), ("stall", "own"), "{cause}");
        assert!(
            started.at - released >= THRESHOLD_S - 0.02,
            "{cause}: {started:?}, {released}"
        );
    }
}

#[test]
fn a_process_that_cannot_end_gets_no_command_before_its_exit() {
    if !needs_root() {
        return;
    }
    if mounts::mount_of("cgroup", "freezer").is_none() {
        return kernel_lacks("a control group of the first version that can be frozen");
    }
    let world = World::new();
    let mut agent = world.agent(hangs::waits::parked);
    let pid = agent.pid();
    let hold = outside::freeze_v1(pid);
    world.wait_until_held(pid, ["frozen"]);
    kill(pid, libc::SIGKILL);
    world.wait_until_held(pid, ["dying"]);
    assert!(world.started(pid).is_empty());
    drop(hold);
    assert_eq!(agent.child.wait(), Ended::Killed(libc::SIGKILL));
    let started = world.wait_for_command(pid);
    assert_eq!((&*started.cause, &*started.class), ("signal:9", "none"));
}

#[test]
fn a_process_that_does_not_get_to_run_gets_no_command() {
    if !needs_root() {
        return;
    }
    if mounts::mount_of("cgroup", "cpu").is_none() {
        return kernel_lacks("a control group of the first version with a CPU quota");
    }
    let world = World::new();
    let throttled =
        Agent::start(world.daemon.socket(), Shape::Main, ms(15), hangs::waits::parked);
    let starved = Agent::start(world.daemon.socket(), Shape::Main, ms(3), hangs::waits::parked);
    let _quota = outside::throttle(throttled.pid());
    outside::yield_to_all(starved.pid().try_into().unwrap());
    let _hogs = outside::hog(starved.pid());
    for agent in [&throttled, &starved] {
        world.wait_until_held(agent.pid(), ["starved", "throttled"]);
        assert!(agent.is_alive() && world.started(agent.pid()).is_empty());
    }
}

#[test]
fn a_process_that_hangs_by_itself_gets_the_command() {
    let world = World::new();
    let hangs: [(Shape, Hang, &str); 6] = [
        (Shape::Main, hangs::locks::on_a_mutex, "own"),
        (Shape::Main, hangs::turns::spinning, "own"),
        (Shape::Main, hangs::waits::parked, "own"),
        (Shape::Main, hangs::waits::in_receive, "own"),
        (Shape::Main, hangs::ends::without_its_first_thread, "changed"),
        (Shape::Worker, hangs::ends::without_its_thread, "changed"),
    ];
    let hung = hangs.map(|(shape, hang, class)| {
        let agent = Agent::start(world.daemon.socket(), shape, ms(0), hang);
        let last = agent.hang();
        (agent, last, class)
    });
    for (agent, last, class) in hung {
        let started = world.wait_for_command(agent.pid());
        assert_eq!((&*started.cause, &*started.class), ("stall", class), "{started:?}");
        assert!(started.at - last >= THRESHOLD_S - 0.02, "{started:?}, {last}");
    }
}

#[test]
fn a_process_in_the_kernel_gets_the_command_after_three_thresholds() {
    if !needs_root() {
        return;
    }
    let world = World::new();
    let agent = world.agent(hangs::memory::in_a_page_fault);
    let last = agent.hang();
    let started = world.wait_for_command(agent.pid());
    assert_eq!((&*started.class, &*started.stall), ("kernel", "memory"));
    assert!(started.at - last >= 3.0 * THRESHOLD_S - 0.02, "{started:?}, {last}");
}

/// Executes this program again, which then runs [`the_program_that_is_executed`].
fn execute_another_program(last: Last<'_>) {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "the_program_that_is_executed", "--nocapture"];
    last();
    let error = Command::new(program).args(arguments).env("VARTA_EXECUTED", "1").exec();
    panic!("{error}");
}

#[test]
fn the_program_that_is_executed() {
    if std::env::var_os("VARTA_EXECUTED").is_none() {
        return;
    }
    wait_until(|| Path::new("beat").exists());
    let mut agent = Varta::connect("varta.sock").unwrap();
    let mut sent = 0;
    while !Path::new("hang").exists() {
        sent += u32::from(agent.beat(Status::Ok, 0) == BeatOutcome::Sent);
        if sent == 10 {
            fs::write("beaten", "").unwrap();
        }
        thread::sleep(ms(12));
    }
    hangs::waits::parked(&mut || ());
}

#[test]
fn a_program_that_was_executed_gets_no_command_before_it_has_beaten() {
    let world = World::new();
    let create = |name| fs::write(world.folder.join(name), "").unwrap();
    let mut first = world.agent(execute_another_program);
    let second = world.agent(execute_another_program);
    for agent in [&first, &second] {
        agent.hang();
    }
    let third = world.agent(hangs::waits::parked);
    third.hang();
    world.wait_for_command(third.pid());
    for agent in [&first, &second] {
        assert!(world.started(agent.pid()).is_empty());
    }
    // It is still watched for its exit.
    kill(first.pid(), libc::SIGKILL);
    first.child.wait();
    assert_eq!(world.wait_for_command(first.pid()).cause, "signal:9");
    assert!(world.started(second.pid()).is_empty());

    create("beat");
    wait_until(|| world.folder.join("beaten").exists());
    create("hang");
    let started = world.wait_for_command(second.pid());
    assert_eq!((&*started.cause, &*started.class), ("stall", "own"));
}

fn keep_readers_waiting(last: Last<'_>) {
    last();
    hangs::files::in_an_exec_that_hangs(Command::new("sleep").arg("1000"));
}

#[test]
fn a_process_that_keeps_its_readers_waiting_delays_nobody() {
    if !needs_root() {
        return;
    }
    if !Path::new("/dev/fuse").exists() {
        return kernel_lacks("FUSE");
    }
    let world = World::new();
    let other = world.agent(hangs::waits::parked);
    let hostile = world.agent(keep_readers_waiting);
    hostile.hang();
    world.wait_for_line(hostile.pid(), |line| line.contains("does not return"));
    let why = Command::new(WATCH).args(["why", &hostile.pid().to_string()]).output().unwrap();
    let told = String::from_utf8(why.stderr).unwrap();
    assert!(told.contains("cannot be read: the kernel does not answer"), "{told}");
    other.hang();
    assert_eq!(world.wait_for_command(other.pid()).class, "own");
    let started = world.wait_for_command(hostile.pid());
    assert_eq!((&*started.class, &*started.stall), ("unknown", "unknown"));
    world.daemon.wait_for_log("the kernel does not answer a reader of a silent process");
    drop(hostile);
}

#[test]
fn a_process_that_the_daemon_cannot_see_is_treated_as_without_causes() {
    if !needs_root() {
        return;
    }
    let world = World::with(|folder, flags| {
        // In a mount namespace of its own, with a /proc that shows other users nothing.
        let script = "mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid=65534 \
                      --regid=65534 --clear-groups \"$@\"";
        let socket = folder.join("varta.sock");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", WATCH, "--socket"]).arg(socket);
        command.args(["--log-format", "json", "--uids", "any", "--socket-mode", "0666"]);
        Daemon::start_as(folder, command.args(flags))
    });
    let agent = world.agent(hangs::waits::parked);
    let last = agent.hang();
    let started = world.wait_for_command(agent.pid());
    assert_eq!((&*started.class, &*started.stall), ("unknown", "unknown"));
    assert!(started.at - last >= THRESHOLD_S - 0.02, "{started:?}, {last}");
}
