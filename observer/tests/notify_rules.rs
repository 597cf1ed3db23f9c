//! The rules for programs that speak the protocol of sd_notify, in simulated time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

use std::collections::{HashMap, HashSet};

use varta::{Frame, Status};
use varta_observer::judge::{
    Access, Datagram, Environment, Exits, Judge, Sender, Settings, Slot, Standing,
};
use varta_observer::{
    Cause, Certainty, ExitCause, NotifyCounters, Policy, ServiceChange, ServiceState, Uids,
    What,
};

const MS: u64 = 1_000_000;
const THRESHOLD: u64 = 2_000 * MS;

/// The answers of the operating system.
#[derive(Default)]
struct Host {
    parents: HashMap<u32, u32>,
    standings: HashMap<u32, Standing>,
    /// Processes that may become the main process of another one.
    adoptable: HashSet<u32>,
}

impl Environment for Host {
    fn standing(&mut self, pid: u32) -> Standing {
        self.standings.get(&pid).copied().unwrap_or(Standing::Here)
    }

    fn parent(&mut self, pid: u32) -> Option<u32> {
        self.parents.get(&pid).copied()
    }

    fn adopt(
        &mut self,
        _: Slot,
        pid: u32,
        _: Option<u64>,
        _: u32,
    ) -> Option<(Option<u64>, Exits)> {
        self.adoptable.contains(&pid).then_some((Some(u64::from(pid)), Exits::Reported))
    }
}

struct World {
    judge: Judge,
    host: Host,
}

impl World {
    fn new() -> Self {
        Self::with(Access::Main, |_| {})
    }

    fn with(access: Access, change: impl FnOnce(&mut Settings)) -> Self {
        let mut policy = Policy::same_uid(0);
        policy.uids = Uids::Any;
        let mut settings = Settings::new(policy);
        settings.notify = Some(access);
        change(&mut settings);
        Self { judge: Judge::new(settings), host: Host::default() }
    }

    fn sender(pid: u32) -> Sender {
        Sender::Kernel { pid, uid: 1000, process: Some(pid.into()) }
    }

    fn events(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(event) = self.judge.next_event() {
            let agent = event.about.map_or(0, |about| about.agent);
            words.push(format!("{} {agent}", event.what.name()));
        }
        words
    }

    fn say(&mut self, at_ms: u64, pid: u32, message: &str) -> Vec<String> {
        let datagram = Datagram::new(1, Self::sender(pid), message.as_bytes());
        self.judge.notify(at_ms * MS, &datagram, &mut self.host);
        self.events()
    }

    fn beat(&mut self, at_ms: u64, pid: u32, nonce: u64) -> Vec<String> {
        let mut wire = [0; 32];
        Frame::new(Status::Degraded, pid, 0, nonce, 7).encode(&mut wire);
        let datagram = Datagram::new(0, Self::sender(pid), &wire);
        self.judge.hear(at_ms * MS, &datagram, &mut self.host);
        self.events()
    }

    fn advance(&mut self, at_ms: u64) -> Vec<String> {
        let mut words = Vec::new();
        while self.judge.expire(at_ms * MS, &mut self.host) {
            words.extend(self.events());
        }
        words
    }

    fn exit(&mut self, at_ms: u64, pid: u32) -> Vec<String> {
        let slot = self.judge.find_pid(pid).unwrap();
        self.judge.exited(at_ms * MS, slot, ExitCause::Signal(15), &mut self.host);
        self.events()
    }

    fn state(&self, agent: u64) -> ServiceState {
        self.judge.service(agent).unwrap().state
    }

    fn counters(&self) -> NotifyCounters {
        self.judge.notify_counters()
    }

    fn notes(&mut self) -> Vec<ServiceChange> {
        std::iter::from_fn(|| self.judge.next_note()).map(|note| note.what).collect()
    }
}

#[test]
fn a_program_that_pings_is_judged_and_one_that_is_only_ready_is_not() {
    let mut world = World::new();
    assert_eq!(world.say(0, 50, "READY=1"), [""; 0]);
    assert_eq!(world.say(0, 51, "WATCHDOG=1"), ["beat 2"]);
    assert_eq!((world.state(1), world.state(2)), (ServiceState::Ready, ServiceState::Starting));
    assert_eq!(world.advance(1_999), [""; 0]);
    assert_eq!(world.advance(1_000_000), ["stall 2"]);
    assert_eq!(world.judge.service(1).unwrap().watchdog_ns, None);
    assert_eq!(world.judge.service(2).unwrap().watchdog_ns, Some(THRESHOLD));
    assert_eq!(world.say(1_000_001, 51, "WATCHDOG=1"), ["recovered 2", "beat 2"]);
    assert_eq!(world.say(1_000_001, 50, "WATCHDOG=1"), ["beat 1"], "from now on");
    assert_eq!(world.advance(1_002_000), [""; 0]);
    assert_eq!(world.advance(1_002_001), ["stall 1", "stall 2"]);
}

#[test]
fn pings_at_three_quarters_of_the_programs_own_time_never_stall() {
    let mut world = World::new();
    world.say(0, 50, "WATCHDOG_USEC=10000000\nREADY=1");
    for ping in 1..100 {
        let at = ping * 7_500;
        assert_eq!(world.advance(at), [""; 0]);
        assert_eq!(world.say(at, 50, "WATCHDOG=1"), ["beat 1"]);
    }
    assert_eq!(world.advance(99 * 7_500 + 9_999), [""; 0]);
    assert_eq!(world.advance(99 * 7_500 + 10_000), ["stall 1"]);
}

#[test]
fn a_program_changes_its_own_time_from_the_moment_it_is_received() {
    let mut world = World::new();
    world.say(0, 50, "WATCHDOG=1");
    // It counts as a sign of life.
    assert_eq!(world.say(1_000, 50, "WATCHDOG_USEC=5000000"), ["beat 1"]);
    assert_eq!(world.advance(5_999), [""; 0]);
    world.say(5_999, 50, "WATCHDOG_USEC=500000");
    assert_eq!(world.advance(6_499), ["stall 1"]);
    assert_eq!(world.say(6_600, 50, "WATCHDOG_USEC=nonsense"), [""; 0]);
    assert_eq!(world.counters().unparsable, 1);
    for (off, at) in [("0", 7_000), ("18446744073709551615", 20_000)] {
        world.say(at, 50, "WATCHDOG_USEC=3000000");
        world.notes();
        assert_eq!(world.say(at + 1, 50, &format!("WATCHDOG_USEC={off}")), [""; 0]);
        assert_eq!(world.notes(), [ServiceChange::WatchdogOff]);
        assert_eq!(world.judge.service(1).unwrap().watchdog_ns, None);
        // As in systemd, a ping does not turn it on again.
        assert_eq!(world.say(at + 2, 50, "WATCHDOG=1"), [""; 0]);
        assert_eq!(world.advance(at + 12_000), [""; 0]);
    }
    // Neither does a new default.
    world.judge.set_default_threshold(MS);
    assert_eq!(world.advance(50_000), [""; 0]);
    assert_eq!(world.say(50_000, 50, "WATCHDOG_USEC=1"), ["beat 1"], "clamped to 10 ms");
    assert_eq!(world.advance(50_009), [""; 0]);
    assert_eq!(world.advance(50_010), ["stall 1"]);
}

#[test]
fn a_stalled_program_that_gives_up_its_watchdog_has_recovered() {
    let mut world = World::new();
    world.say(0, 50, "WATCHDOG=1");
    world.say(0, 51, "WATCHDOG=1");
    assert_eq!(world.advance(2_000), ["stall 1", "stall 2"]);
    assert_eq!(world.say(3_000, 50, "WATCHDOG_USEC=0"), ["recovered 1"]);
    assert_eq!(world.say(3_000, 51, "STOPPING=1"), ["recovered 2"]);
    assert_eq!(world.advance(90_000), [""; 0]);
}

#[test]
fn an_extension_only_makes_the_time_longer() {
    let mut world = World::new();
    world.say(0, 50, "WATCHDOG=1");
    world.say(0, 50, "EXTEND_TIMEOUT_USEC=1000000");
    assert_eq!(world.advance(1_999), [""; 0]);
    world.say(1_999, 50, "EXTEND_TIMEOUT_USEC=6000000");
    // A ping within the extension does not shorten it.
    world.say(4_000, 50, "WATCHDOG=1");
    assert_eq!(world.advance(7_998), [""; 0]);
    assert_eq!(world.advance(7_999), ["stall 1"]);
    world.say(8_000, 50, "WATCHDOG=1");
    for nothing in ["0", "18446744073709551615", "x"] {
        world.say(8_001, 50, &format!("EXTEND_TIMEOUT_USEC={nothing}"));
    }
    assert_eq!(world.advance(10_000), ["stall 1"]);
    world.say(10_000, 50, "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=18446744073709551614");
    assert_eq!(world.advance(10_000 + 86_400_000 - 1), [""; 0]);
    assert_eq!(world.advance(10_000 + 86_400_000), ["stall 1"], "a day at most");
}

#[test]
fn a_program_can_report_that_it_hangs() {
    for first in
        ["READY=1", "WATCHDOG=1", "WATCHDOG_USEC=9000000", "STATUS=x\nWATCHDOG=trigger"]
    {
        for causes in [false, true] {
            let mut world = World::with(Access::Main, |settings| settings.causes = causes);
            world.judge.hear(0, &Datagram::new(0, World::sender(9), &[]), &mut world.host);
            let mut events = world.say(0, 50, first);
            world.host.parents.insert(50, 1);
            let datagram =
                Datagram::new(1, World::sender(50), b"WATCHDOG=trigger\nSTATUS=no disk");
            world.judge.notify(10 * MS, &datagram, &mut world.host);
            if let Some(event) = world.judge.next_event() {
                let What::Stall { why: Some(why), late: None, deaf: false, .. } = event.what
                else {
                    panic!("{event}");
                };
                assert_eq!(
                    (why.cause, why.certainty),
                    (Cause::SelfReported, Certainty::Certain)
                );
                assert_eq!(world.judge.cause(1, 0).is_some(), causes);
                events.push("stall 1".to_owned());
            }
            assert_eq!(events.iter().filter(|event| *event == "stall 1").count(), 1, "{first}");
            assert_eq!(world.advance(100_000), [""; 0], "once, and its cause stays");
            assert_eq!(world.say(100_000, 50, "WATCHDOG=1"), ["recovered 1", "beat 1"]);
        }
    }
}

#[test]
fn a_program_that_stops_is_not_judged_and_its_exit_is_expected() {
    let mut world = World::new();
    world.say(0, 50, "READY=1\nWATCHDOG=1");
    world.say(0, 51, "READY=1\nWATCHDOG=1");
    assert_eq!(world.say(100, 50, "STATUS=bye\nREADY=1\nSTOPPING=1"), [""; 0]);
    assert_eq!(world.say(101, 50, "READY=1\nWATCHDOG=1\nWATCHDOG_USEC=10000"), [""; 0]);
    assert_eq!(world.say(102, 50, "WATCHDOG=trigger"), [""; 0]);
    assert_eq!(world.state(1), ServiceState::Stopping, "this is final");
    world.judge.set_default_threshold(1);
    world.judge.set_default_threshold(THRESHOLD);
    assert_eq!(world.advance(90_000), ["stall 2"]);
    assert_eq!(world.exit(90_000, 50), ["exit 1"]);
    assert_eq!(world.exit(90_000, 51), ["exit 2"]);
    let expected = [1, 2].map(|agent| world.judge.exit_was_expected(agent));
    assert_eq!((expected, world.counters().expected_exits), ([true, false], 1));
    assert_eq!(world.judge.services().count(), 0);
}

#[test]
fn states_and_texts_are_noted_once() {
    let mut world = World::new();
    for at in 0..100 {
        // As Apache httpd does every 10 s.
        world.say(at * 10_000, 50, "READY=1\nSTATUS=Running");
    }
    let ready = ServiceChange::State(ServiceState::Ready);
    assert_eq!(world.notes(), [ready, ServiceChange::Status]);
    world.say(1_000_000, 50, "RELOADING=1\nMONOTONIC_USEC=5\nSTATUS=");
    let reloading = ServiceChange::State(ServiceState::Reloading);
    assert_eq!(world.notes(), [reloading, ServiceChange::Status]);
    // Both at once: it has reloaded already.
    world.say(1_000_001, 50, "RELOADING=1\nREADY=1\nERRNO=5\nERRNO=6\nEXIT_STATUS=3");
    assert_eq!(world.notes(), [ready, ServiceChange::Errno(5)]);
    let service = world.judge.service(1).unwrap();
    assert!(service.status.is_empty());
    assert_eq!((service.errno, service.exit_status), (5, Some(3)));
    world.say(1_000_002, 50, &format!("STATUS={}\u{20ac}", "x".repeat(255)));
    assert_eq!(world.judge.service(1).unwrap().status.as_str().len(), 255);
    for _ in 0..2_000 {
        world.say(1_000_003, 50, "STATUS=a");
        world.say(1_000_003, 50, "STATUS=b");
    }
    assert_eq!(world.notes().len(), 1_024);
    assert!(world.counters().notes_lost > 2_000);
}

#[test]
fn only_a_living_main_process_becomes_a_service() {
    let mut world = World::new();
    for message in
        ["STATUS=x", "STOPPING=1", "ERRNO=1", "EXIT_STATUS=1", "RELOADING=1", "WATCHDOG=x"]
    {
        world.say(0, 50, message);
    }
    assert_eq!(world.counters().unknown, 6);
    world.host.standings.insert(51, Standing::Ended);
    world.say(0, 51, "READY=1");
    world.host.standings.insert(52, Standing::Outside);
    world.host.standings.insert(53, Standing::Within(7));
    world.say(0, 52, "READY=1");
    world.say(0, 53, "READY=1");
    world.say(0, 0, "READY=1");
    world.say(0, 54, "BARRIER=1");
    world.say(0, 54, "BARRIER=1\nREADY=1");
    world.say(0, 54, "");
    world.say(0, 54, "READY=1\0STATUS=x");
    assert_eq!(world.judge.followed(), 0);
    let counters = world.counters();
    assert_eq!((counters.ended, counters.namespace_refused), (1, 3));
    assert_eq!((counters.barriers, counters.probes, counters.malformed), (1, 1, 2));
    // The child of a service, and a grandchild whose parent has ended, which belongs to no one.
    world.say(0, 60, "WATCHDOG=1");
    world.host.parents.extend([(61, 60), (62, 61), (63, 1)]);
    for pid in [61, 62] {
        assert_eq!(world.say(0, pid, "WATCHDOG=1\nREADY=1"), [""; 0]);
    }
    assert_eq!(world.counters().not_main, 2);
    assert_eq!(world.say(0, 63, "WATCHDOG=1"), ["beat 2"]);
    // A launcher below a service is one of its own.
    world.say(0, 62, "X_VARTA_RUN=1");
    assert_eq!(world.judge.followed(), 3);
    assert_eq!(world.counters().received, 19);
}

#[test]
fn the_pings_of_a_child_count_only_if_that_is_allowed() {
    for (access, stalls) in [(Access::Main, true), (Access::All, false)] {
        let mut world = World::with(access, |_| {});
        world.host.parents.insert(51, 50);
        world.say(0, 50, "WATCHDOG=1");
        for at in 1..5 {
            world.say(at * 1_000, 51, "WATCHDOG=1\nSTATUS=of the child");
        }
        assert_eq!(world.advance(5_000).contains(&"stall 1".to_owned()), stalls, "{access:?}");
        assert_eq!(world.judge.followed(), 1);
    }
}

#[test]
fn a_launched_program_is_judged_from_ready_on() {
    let mut world = World::new();
    world.say(0, 50, "X_VARTA_RUN=1\nX_VARTA_NAME=indexer\nX_VARTA_WATCHDOG_USEC=3000000");
    assert_eq!(world.advance(60_000), [""; 0], "it may take long to start");
    assert_eq!(world.say(60_000, 50, "READY=1"), ["beat 1"]);
    assert_eq!(world.say(61_000, 50, "READY=1"), [""; 0], "only the first one counts");
    assert_eq!(world.advance(62_999), [""; 0]);
    assert_eq!(world.advance(63_000), ["stall 1"]);
    let service = world.judge.service(1).unwrap();
    assert_eq!((service.name.as_str(), service.watchdog_ns), ("indexer", Some(3_000 * MS)));
    // The program's own time takes precedence.
    world.say(64_000, 50, "WATCHDOG_USEC=5000000");
    assert_eq!(world.judge.service(1).unwrap().watchdog_ns, Some(5_000 * MS));
    // Launched again in the same process.
    world.say(65_000, 50, "X_VARTA_RUN=1");
    assert_eq!(world.advance(900_000), [""; 0]);
    assert_eq!(world.state(1), ServiceState::Starting);
}

#[test]
fn a_launched_program_that_sends_frames_and_no_pings_is_judged_by_its_frames() {
    let launch = "X_VARTA_RUN=1\nX_VARTA_WATCHDOG_USEC=500000";
    for frames_first in [true, false] {
        let mut world = World::new();
        world.say(0, 50, launch);
        if frames_first {
            world.beat(5, 50, 1);
        }
        world.say(10, 50, "READY=1");
        for (nonce, at) in [(2, 100), (3, 1_500), (4, 3_000)] {
            assert_eq!(world.advance(at), [""; 0]);
            assert_eq!(world.beat(at, 50, nonce), ["beat 1"]);
        }
        assert_eq!(world.advance(4_999), [""; 0]);
        assert_eq!(world.advance(5_000), ["stall 1"]);
        assert_eq!(world.beat(5_100, 50, 5), ["recovered 1", "beat 1"]);
        // With the first ping it has a second deadline.
        assert_eq!(world.say(5_200, 50, "WATCHDOG=1"), [""; 0]);
        assert_eq!(world.advance(5_700), ["stall 1"]);
    }
    // Its first frame comes late.
    let mut world = World::new();
    world.say(0, 50, launch);
    world.say(0, 50, "READY=1");
    assert_eq!(world.advance(500), ["stall 1"]);
    assert_eq!(world.beat(600, 50, 1), ["recovered 1", "beat 1"]);
    assert_eq!(world.advance(2_599), [""; 0]);
    assert_eq!(world.advance(2_600), ["stall 1"]);
}

#[test]
fn frames_and_pings_of_a_process_are_one_agent_with_two_deadlines() {
    // Whichever comes first.
    for ping_first in [true, false] {
        let mut world = World::new();
        let both = |world: &mut World, at: u64, nonce| {
            let mut events = world.beat(at, 50, nonce);
            events.extend(world.say(at, 50, "WATCHDOG=1"));
            events
        };
        if ping_first {
            assert_eq!(world.say(0, 50, "WATCHDOG=1"), ["beat 1"]);
        }
        assert_eq!(both(&mut world, 0, 1), ["beat 1"], "the status is that of the frames");
        assert_eq!(world.judge.followed(), 1);
        // Only frames: the pings are late. A frame does not end that, and does not repeat it.
        for nonce in 2..8 {
            let at = nonce * 500;
            assert_eq!(world.advance(at), if at == 2_000 { &["stall 1"][..] } else { &[] });
            assert_eq!(world.beat(at, 50, nonce), ["beat 1"]);
        }
        let info = world.judge.agent(world.judge.find(1).unwrap(), 3_600 * MS).unwrap();
        assert!(info.stalled && info.age_ns == 100 * MS, "{info:?}");
        // Then the frames are late too: no second Stall.
        assert_eq!(world.advance(5_600), [""; 0]);
        assert_eq!(world.say(5_600, 50, "WATCHDOG=1"), [""; 0], "not both are back");
        assert_eq!(world.beat(5_700, 50, 8), ["recovered 1", "beat 1"]);
        // Only pings: the frames are late.
        for at in [6_200, 6_700, 7_200] {
            assert_eq!(world.advance(at), [""; 0]);
            assert_eq!(world.say(at, 50, "WATCHDOG=1"), [""; 0]);
        }
        assert_eq!(world.advance(7_700), ["stall 1"]);
        assert_eq!(world.advance(9_200), [""; 0]);
        assert_eq!(world.beat(9_300, 50, 9), ["beat 1"], "the pings are late now");
        assert_eq!(world.say(9_300, 50, "WATCHDOG=1"), ["recovered 1"]);
        // By its own account.
        assert_eq!(world.say(9_400, 50, "WATCHDOG=trigger"), ["stall 1"]);
        assert_eq!(world.beat(9_500, 50, 10), ["beat 1"]);
        assert_eq!(world.say(9_600, 50, "WATCHDOG_USEC=0"), ["recovered 1"]);
        assert_eq!(world.advance(11_499), [""; 0]);
        assert_eq!(world.advance(11_500), ["stall 1"], "its frames are judged as before");
        assert_eq!(world.beat(11_600, 50, 11), ["recovered 1", "beat 1"]);
        assert_eq!(world.say(11_700, 50, "STOPPING=1"), [""; 0]);
        assert_eq!(world.advance(90_000), [""; 0]);
    }
}

#[test]
fn a_pause_of_the_observer_is_no_silence() {
    let mut world = World::new();
    world.say(0, 50, "WATCHDOG=1");
    world.beat(0, 51, 1);
    world.say(0, 51, "WATCHDOG=1");
    world.judge.pause(10_000 * MS, 9_000 * MS);
    assert_eq!(world.events(), ["paused 0"]);
    world.beat(10_500, 51, 2);
    assert_eq!(world.advance(10_999), [""; 0]);
    assert_eq!(world.advance(11_000), ["stall 1", "stall 2"]);
}

#[test]
fn stalls_are_put_off_and_marked_while_the_socket_cannot_be_read() {
    let mut world = World::new();
    world.say(0, 50, "WATCHDOG=1");
    world.beat(0, 51, 1);
    world.judge.notify_failed(1_500 * MS, 2_500 * MS);
    assert_eq!(world.advance(4_499), ["stall 2"], "frames arrive elsewhere");
    assert!(world.judge.expire(4_500 * MS, &mut world.host));
    let event = world.judge.next_event().unwrap();
    assert!(matches!(event.what, What::Stall { deaf: true, .. }), "{event}");
}

#[test]
fn the_main_process_changes_without_an_exit() {
    let mut world = World::new();
    world.say(0, 50, "WATCHDOG=1\nREADY=1");
    world.say(0, 52, "WATCHDOG=1");
    world.host.adoptable.extend([51, 52]);
    world.notes();
    world.say(1_000, 50, "MAINPID=51");
    assert_eq!(world.notes(), [ServiceChange::MainProcess { before: 50 }]);
    assert_eq!(world.judge.agent(world.judge.find(1).unwrap(), 0).unwrap().pid, 51);
    assert_eq!((world.judge.find_pid(50), world.state(1)), (None, ServiceState::Ready));
    // The deadline is as before, and the new process keeps it.
    assert_eq!(world.advance(1_999), [""; 0]);
    assert_eq!(world.say(1_999, 51, "WATCHDOG=1\nMAINPID=51"), ["beat 1"]);
    assert_eq!(world.advance(3_998), ["stall 2"]);
    assert_eq!(world.exit(3_998, 51), ["exit 1"]);
    // One that must not be it, another agent, and one that sends frames.
    world.beat(4_000, 60, 1);
    world.say(4_000, 60, "READY=1");
    for (pid, main) in [(52, 53), (52, 60), (52, 1), (60, 51)] {
        world.say(4_000, pid, &format!("MAINPID={main}"));
    }
    assert_eq!((world.counters().main_changed, world.counters().main_refused), (1, 4));
}

#[test]
fn pings_are_limited_like_beats() {
    let rate = varta_observer::Rate { per_second: 1, burst: 1 };
    let mut world =
        World::with(Access::Main, |settings| settings.policy.per_agent = Some(rate));
    let events: usize = (0..100).map(|at| world.say(at, 50, "WATCHDOG=1").len()).sum();
    assert!(events < 5, "{events}");
    assert_eq!(world.advance(2_098), [""; 0], "they are signs of life all the same");
    assert_eq!(world.advance(2_099), ["stall 1"]);
    assert_eq!(
        (world.counters().pings, world.counters().rate_limited),
        (100, 100 - events as u64)
    );
}

#[test]
fn without_a_notify_socket_nothing_is_heard() {
    let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    let ping = Datagram::new(0, World::sender(50), b"WATCHDOG=1");
    judge.notify(0, &ping, &mut Host::default());
    assert_eq!((judge.followed(), judge.notify_counters()), (0, NotifyCounters::default()));
}

#[test]
fn the_threshold_that_the_host_sets_takes_precedence() {
    let mut world = World::new();
    world.say(0, 50, "READY=1\nWATCHDOG_USEC=500000");
    world.judge.set_threshold(1, 4_000 * MS);
    assert_eq!(world.advance(3_999), [""; 0]);
    world.say(3_999, 50, "WATCHDOG=1");
    assert_eq!(world.advance(7_998), [""; 0]);
    assert_eq!(world.advance(7_999), ["stall 1"]);
    // Not watched at all.
    world.judge.set_threshold(1, u64::MAX);
    world.say(8_000, 50, "WATCHDOG=1");
    assert_eq!(world.advance(90_000), [""; 0]);
    assert_eq!(world.judge.service(1).unwrap().watchdog_ns, None);
    // By the program's own time again, from its last ping.
    world.say(90_000, 50, "WATCHDOG=1");
    world.judge.reset_service_threshold(1);
    assert_eq!(world.advance(90_499), [""; 0]);
    assert_eq!(world.advance(90_500), ["stall 1"]);
    // Nothing makes one judged that stops, or that sends no pings.
    world.say(91_000, 50, "STOPPING=1");
    world.say(91_000, 51, "READY=1");
    for agent in [1, 2] {
        world.judge.set_threshold(agent, MS);
        world.judge.reset_service_threshold(agent);
    }
    assert_eq!(world.advance(900_000), [""; 0]);
    // Frames and pings.
    world.beat(900_000, 52, 1);
    world.say(900_000, 52, "WATCHDOG=1");
    world.judge.set_threshold(3, 6_000 * MS);
    world.beat(903_000, 52, 2);
    assert_eq!(world.advance(905_999), [""; 0]);
    assert_eq!(world.advance(906_000), ["stall 3"]);
}
