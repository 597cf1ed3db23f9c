use serde_json::Value;
use varta_history::{Agent, CauseMembers, Clock, Eviction, Exit, Part, Recovered, Stall};

use super::*;

fn origin(run: &str, seq: u64) -> Origin {
    let (time, wall_ns) = (format!("2026-11-30T00:00:{seq:02}Z"), seq * 1_000_000_000);
    Origin { time, wall_ns, host: "web1".into(), run: run.into(), seq, again: false }
}

fn heard(agent: u64, program: &'static str) -> Record {
    Agent { agent, pid: 70, program: program.into(), ..Agent::default() }.into()
}

/// The subjects and states of messages.
fn shown(messages: &[Message]) -> Vec<(String, String)> {
    let state = |message: &Message| {
        let content: Value = serde_json::from_slice(&message.payload).unwrap();
        let short = message.subject.strip_prefix("varta.state.web1.").unwrap();
        (short.to_owned(), content["state"].as_str().unwrap().to_owned())
    };
    messages.iter().map(state).collect()
}

fn pair(subject: &str, state: &str) -> (String, String) {
    (subject.to_owned(), state.to_owned())
}

#[test]
fn a_state_is_published_for_each_change_of_an_agent() {
    let mut fleet = Fleet::default();
    let why = Part(Some(CauseMembers { cause: "lock".into(), ..CauseMembers::default() }));
    let stall = Stall { agent: 1, why, ..Stall::default() };
    let task_stall = Stall { task: Some(3), ..stall.clone() };
    let back = Recovered { agent: 1, ..Recovered::default() };
    let exit = Exit { agent: 1, signal: Some(9), ..Exit::default() };
    let records: [(Record, Option<&str>); 6] = [
        (heard(1, "a.b"), Some("running")),
        (stall.into(), Some("stalled")),
        (task_stall.into(), None),
        (back.into(), Some("running")),
        (Exit { agent: 2, ..exit.clone() }.into(), None),
        (exit.into(), Some("exited")),
    ];
    for (seq, (record, wanted)) in (1..).zip(records) {
        let messages = fleet.note(&origin("run", seq), &record);
        let wanted: Vec<_> = wanted.iter().map(|state| pair("a%2Eb.run-1", state)).collect();
        assert_eq!(shown(&messages), wanted, "{record:?}");
        if wanted.first().is_some_and(|(_, state)| state == "stalled") {
            let content: Value = serde_json::from_slice(&messages[0].payload).unwrap();
            assert_eq!((&content["cause"], &content["seq"]), (&"lock".into(), &2.into()));
        }
    }
    assert_eq!(fleet.agents().count(), 0);
}

#[test]
fn agents_of_an_earlier_run_are_gone_before_those_of_the_next_one_are_heard() {
    let mut fleet = Fleet::default();
    fleet.note(&origin("one", 1), &heard(1, "a"));
    fleet.note(&origin("one", 2), &heard(2, "b"));
    let messages = fleet.note(&origin("two", 1), &heard(1, "a"));
    let wanted = [pair("a.one-1", "gone"), pair("b.one-2", "gone"), pair("a.two-1", "running")];
    assert_eq!(shown(&messages), wanted);
}

#[test]
fn an_agent_with_a_new_name_is_gone_from_its_old_subject() {
    let mut fleet = Fleet::default();
    fleet.note(&origin("run", 1), &heard(1, "old"));
    let messages = fleet.note(&origin("run", 2), &heard(1, "new"));
    assert_eq!(shown(&messages), [pair("old.run-1", "gone"), pair("new.run-1", "running")]);
    let evicted = Eviction { agent: 1, ..Eviction::default() }.into();
    assert_eq!(shown(&fleet.note(&origin("run", 3), &evicted)), [pair("new.run-1", "gone")]);
}

#[test]
fn after_lost_records_the_repeated_agents_decide_which_are_gone() {
    let mut fleet = Fleet::default();
    for agent in 1..4 {
        fleet.note(&origin("run", agent), &heard(agent, "a"));
    }
    fleet.records_were_lost();
    let again = |seq| Origin { again: true, ..origin("run", seq) };
    assert_eq!(shown(&fleet.note(&again(9), &heard(2, "a"))), []);
    assert_eq!(shown(&fleet.note(&again(9), &heard(8, "a"))), [pair("a.run-8", "running")]);
    let messages = fleet.note(&origin("run", 10), &heard(9, "a"));
    let gone = |agent| pair(&format!("a.run-{agent}"), "gone");
    assert_eq!(shown(&messages), [gone(1), gone(3), pair("a.run-9", "running")]);
}

#[test]
fn the_states_of_quiet_agents_are_published_again_twice_a_day() {
    let mut fleet = Fleet::default();
    fleet.note(&origin("run", 1), &heard(1, "a"));
    let mut times = 0;
    for hour in 1..=48 {
        let at = Origin { wall_ns: hour * 3_600 * 1_000_000_000, ..origin("run", hour) };
        let messages = fleet.note(&at, &Clock::default().into());
        times += messages.len();
        for message in &messages {
            let content: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(content["time"], "2026-11-30T00:00:01Z", "it is not a new state");
        }
    }
    assert_eq!(times, 3, "at hours 13, 25 and 37");
}

#[test]
fn the_changes_of_the_messages_lead_to_the_same_fleet() {
    let (mut fleet, mut stored) = (Fleet::default(), Fleet::default());
    let stall = Record::from(Stall { agent: 1, ..Stall::default() });
    let exit = Record::from(Exit { agent: 2, ..Exit::default() });
    for (seq, (run, record)) in (1..).zip([
        ("one", heard(1, "a")),
        ("one", heard(2, "a")),
        ("one", stall),
        ("one", exit),
        ("one", heard(1, "b")),
        ("two", heard(2, "a")),
    ]) {
        for message in fleet.note(&origin(run, seq), &record) {
            stored.apply(message.change.unwrap());
        }
        assert!(fleet.agents().eq(stored.agents()), "after {record:?}");
    }
}
