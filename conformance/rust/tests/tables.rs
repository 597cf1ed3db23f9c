//! `conformance/tables.json`: what has the same number or name in every language, written from
//! the crates. Each language has a test that compares its own with that file. After a change here:
//!
//!     VARTA_UPDATE_TABLES=1 cargo test -p varta-conformance --test tables

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fmt::Debug;
use std::fs;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};
use varta::internal::lane::layout::{Cold, Head, Hot, PAIRS, State, lines};
use varta::internal::lane::line;
use varta::internal::{ERRNO_OF_KIND, LONGEST_SOCKET_NAME};
use varta::secure::{MASTER_BYTES, SHARED_BYTES};
use varta::{
    AnyTransport, BeatOutcome, DecodeError, DropReason, NEVER, Promise, Rule, Status,
    TaskCounts, TaskName, Varta,
};
use varta_observer::judge::{Attaching, MOST_AGENTS};
use varta_observer::{
    About, AgentInfo, Builder, Cause, CauseClass, CauseInfo, Certainty, DEFAULT_CAPACITY,
    DEFAULT_THRESHOLD, Ending, ExitCause, Origin, TaskInfo, Uids, What, Why,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tables.json");

#[test]
fn the_file_holds_what_the_crates_define() {
    let tables = tables();
    if std::env::var_os("VARTA_UPDATE_TABLES").is_some() {
        fs::write(FILE, text(&tables)).unwrap();
    }
    let committed: Value = serde_json::from_slice(&fs::read(FILE).unwrap()).unwrap();
    for (name, table) in &tables {
        assert_eq!(&committed[name], table, "{name}: see the top of this file");
    }
    assert_eq!(committed.as_object().unwrap().len(), tables.len());
}

fn tables() -> Map<String, Value> {
    let tables = json!({
        "statuses": numbered((0..).map_while(Status::from_wire).map(|it| (it as u8, it.name()))),
        "drop_reasons": numbered(DropReason::ALL.into_iter().map(|it| (it as u8, it.to_string()))),
        "notifications": notifications(),
        "origins": numbered(origins().map(|it| (it as u8, it.name()))),
        "exit_causes": numbered(exit_causes().map(|it| (it.kind(), variant(&it).to_lowercase()))),
        "decode_errors": numbered(decode_errors().map(|it| (it.code(), it.name()))),
        "event_fields": ["observer_ns"],
        // Of the daemon's lines of JSON only, as its own tests check.
        "line_fields": ["time", "host", "run", "seq"],
        "about_line_fields": ["threshold_ns"],
        "about_fields": fields(&about()),
        // Of the events of Python and Node, and of stories. In Rust, C and C++ the observer returns it.
        "about_name_fields": ["label"],
        "about_task_fields": ["task", "task_name"],
        "promises": numbered(Promise::ALL.map(|it| (it as u8, it.name())).into_iter()),
        "rules": numbered(Rule::ALL.map(|it| (it as u8, it.name())).into_iter()),
        "endings": numbered(Ending::ALL.map(|it| (it as u8, it.name())).into_iter()),
        "causes": Cause::ALL.map(|it| {
            json!({ "code": it as u8, "name": it.name(), "class": it.class().name() })
        }),
        "cause_classes": numbered(CauseClass::ALL.map(|it| (it as u8, it.name())).into_iter()),
        "certainties": numbered(certainties().map(|it| (it as u8, it.name()))),
        "why_fields": fields(&Why::UNKNOWN),
        "cause_fields": fields(&CauseInfo::UNKNOWN),
        "kinds": kinds().map(kind),
        "counters": counters(),
        "agent_fields": fields(&AgentInfo::NOBODY),
        "task_fields": fields(&task_info()),
        "task_counts": fields(&task_counts()),
        "limits": {
            "agents": MOST_AGENTS,
            "frame_bytes": varta::FRAME_BYTES,
            "payload": u32::MAX,
            "sealed_bytes": SHARED_BYTES,
            "sealed_bytes_master": MASTER_BYTES,
            "socket_name_bytes": LONGEST_SOCKET_NAME,
            "task_name_bytes": TaskName::new("task").unwrap().to_bytes().len() - 1,
            "tasks": PAIRS - 1,
        },
        "defaults": {
            "capacity": DEFAULT_CAPACITY,
            "endpoint": varta::DEFAULT_ENDPOINT,
            "endpoint_variable": varta::ENDPOINT_VARIABLE,
            "threshold_ms": u64::try_from(DEFAULT_THRESHOLD.as_millis()).unwrap(),
        },
        "errnos": ERRNO_OF_KIND.map(|(kind, errno)| json!({ "kind": format!("{kind:?}"), "errno": errno })),
    });
    tables.as_object().unwrap().clone()
}

fn numbered<N: Into<String>>(all: impl Iterator<Item = (u8, N)>) -> Value {
    all.map(|(code, name)| json!({ "code": code, "name": name.into() })).collect()
}

/// The methods by which an agent notifies the service manager.
fn notifications() -> [&'static str; 3] {
    type Agent = Varta<AnyTransport>;
    let _: [fn(&Agent) -> BeatOutcome; 2] = [Agent::ready, Agent::stopping];
    let _: fn(&Agent, &str) -> BeatOutcome = Agent::status;
    ["ready", "stopping", "status"]
}

fn origins() -> impl Iterator<Item = Origin> {
    use Origin::{KernelAttested, Network, SecureNetwork};
    let _ = |origin| match origin {
        KernelAttested | SecureNetwork | Network => {}
    };
    [KernelAttested, SecureNetwork, Network].into_iter()
}

fn certainties() -> impl Iterator<Item = Certainty> {
    use Certainty::{Certain, Guess, Likely};
    let _ = |certainty| match certainty {
        Guess | Likely | Certain => {}
    };
    [Guess, Likely, Certain].into_iter()
}

fn exit_causes() -> impl Iterator<Item = ExitCause> {
    use ExitCause::{Code, Signal, Unknown};
    let _ = |cause| match cause {
        Unknown | Code(_) | Signal(_) => {}
    };
    [Unknown, Code(0), Signal(0)].into_iter()
}

fn decode_errors() -> impl Iterator<Item = DecodeError> {
    use DecodeError::{
        BadCrc, BadMagic, BadNonce, BadPid, BadStatus, BadTimestamp, BadVersion, StallOnWire,
    };
    let _ = |error| match error {
        BadMagic
        | BadVersion
        | BadCrc { .. }
        | BadStatus(_)
        | StallOnWire
        | BadPid(_)
        | BadTimestamp(_)
        | BadNonce { .. } => {}
    };
    [
        BadMagic,
        BadVersion,
        BadCrc { expected: 0, actual: 0 },
        BadStatus(0),
        StallOnWire,
        BadPid(0),
        BadTimestamp(0),
        BadNonce { nonce: 0, status: Status::Ok },
    ]
    .into_iter()
}

fn kinds() -> [What; 12] {
    [
        What::Beat { status: Status::Ok, payload: 0, nonce: 0, missed: 0, count: 1 },
        What::Stall { last_nonce: 0, last_ns: 0, deaf: false, late: None, why: None },
        What::Recovered { silent_ns: 0, promise: Promise::Beat },
        What::Exit { cause: ExitCause::Unknown, last_status: Status::Ok },
        What::Decode(DecodeError::BadMagic),
        What::AuthFailure { claimed_pid: 0, true_pid: 0 },
        What::Io { errno: 0 },
        What::Paused { ns: 0 },
        What::Task { threshold_ns: 0 },
        What::Ended { how: Ending::Closed },
        What::Violation { rule: Rule::TooLate, count: 0, from: 0, to: 0, by: 0 },
        What::Cause { why: Why::UNKNOWN },
    ]
}

/// A kind of event: whether it is about an agent, and where each language has its fields. Python
/// and Node have those of the stories; Node writes them in camel case.
fn kind(what: What) -> Value {
    // The name of the field in Rust, in a story, in varta_event and in the daemon's JSON.
    type List = &'static [&'static str];
    type Names = (&'static str, List, List, List);
    const LATE: List = &["promise", "due_ns", "checkpoint"];
    const WHY: Names = (
        "why",
        &["why"],
        &["code", "exit_cause", "decode_error", "found", "expected"],
        &["cause", "cause_class", "certainty", "cause_flags", "thread", "other"],
    );
    let (about_agent, names): (bool, &[Names]) = match what {
        What::Beat { .. } => (
            true,
            &[
                ("status", &["status"], &["status"], &["status"]),
                ("payload", &["payload"], &["payload"], &["payload"]),
                ("nonce", &["nonce"], &["nonce"], &["nonce"]),
                ("missed", &["missed"], &["missed"], &["missed"]),
                ("count", &["count"], &["count"], &["count"]),
            ],
        ),
        What::Stall { .. } => (
            true,
            &[
                ("last_nonce", &["last_nonce"], &["nonce"], &["last_nonce"]),
                ("last_ns", &["last_ns"], &["last_ns"], &["last_ns"]),
                ("deaf", &["deaf"], &["decode_error"], &["deaf"]),
                ("late", LATE, LATE, LATE),
                WHY,
            ],
        ),
        What::Recovered { .. } => (
            true,
            &[
                ("silent_ns", &["silent_ns"], &["duration_ns"], &["silent_ns"]),
                ("promise", &["promise"], &["promise"], &["promise"]),
            ],
        ),
        What::Exit { .. } => (
            true,
            &[
                ("cause", &["code", "signal"], &["exit_cause", "code"], &["code", "signal"]),
                ("last_status", &["last_status"], &["status"], &["last_status"]),
            ],
        ),
        What::Decode(_) => (
            false,
            &[(
                "error",
                &["error"],
                &["decode_error", "found", "expected", "nonce", "status"],
                &["error"],
            )],
        ),
        What::AuthFailure { .. } => (
            false,
            &[
                ("claimed_pid", &["claimed_pid"], &["claimed_pid"], &["claimed_pid"]),
                ("true_pid", &["true_pid"], &["pid"], &["true_pid"]),
            ],
        ),
        What::Io { .. } => (false, &[("errno", &["errno"], &["code"], &["errno"])]),
        What::Paused { .. } => (false, &[("ns", &["ns"], &["duration_ns"], &["paused_ns"])]),
        What::Task { .. } => {
            (true, &[("threshold_ns", &["threshold_ns"], &["duration_ns"], &["threshold_ns"])])
        }
        What::Ended { .. } => (true, &[("how", &["how"], &["rule"], &["how"])]),
        What::Violation { .. } => (
            true,
            &[
                ("rule", &["rule"], &["rule"], &["rule"]),
                ("count", &["count"], &["count"], &["count"]),
                ("from", &["from"], &["from"], &["from"]),
                ("to", &["to"], &["checkpoint"], &["to"]),
                ("by", &["by"], &["duration_ns"], &["by"]),
            ],
        ),
        What::Cause { .. } => (true, &[WHY]),
        other => panic!("{other:?} has no line here"),
    };
    // A variant with one unnamed field has the name of that here.
    let defined = match what {
        What::Decode(_) => vec!["error".to_owned()],
        what => fields(&what),
    };
    assert_eq!(defined, names.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), "{what:?}");
    let names = names.iter().map(|(rust, story, c, daemon)| {
        json!({ "rust": rust, "story": story, "c": c, "daemon": daemon })
    });
    json!({
        "code": what.code(),
        "name": what.name(),
        "about_agent": about_agent,
        "about_task": matches!(what, What::Task { .. } | What::Ended { .. } | What::Violation { .. }),
        "fields": names.collect::<Value>(),
    })
}

/// A task as an observer lists it.
fn task_info() -> TaskInfo {
    let (pid, uid) = (4321, 0);
    let process =
        Attaching { pid, uid, process: None, claimed_pid: pid, nonce: 0, clock_offset: 0 };
    let mut observer =
        Builder::new().uids(Uids::Any).lane(true).tasks(true).simulate().unwrap();
    let page = observer.attach(0, &process).unwrap().page;
    let words = observer.page(page).unwrap();
    let (head, _) = lines(words, page.offset(), 0).unwrap();
    head[Head::LIVE].store(1 << 1, Ordering::Relaxed);
    let (cold, hot) = lines(words, page.offset(), 1).unwrap();
    let task = Cold {
        number: 1,
        state: State::Live,
        vital: false,
        roams: false,
        ended: State::Free,
        threshold_ns: 1_000_000_000,
        finest_ns: 1_000_000_000,
        thread: 0,
        violations: 0,
        last_violation: None,
        name: TaskName::new("task").unwrap(),
    };
    for (place, word) in cold.iter().zip(task.to_words()) {
        place.store(word, Ordering::Relaxed);
    }
    let _ = line::write(hot, 0, &Hot { at: 1, until: 1_000_000_001, info: 1 << 8, last: 0 });
    observer.mapped(1, page);
    observer.tasks(1).remove(0)
}

fn task_counts() -> TaskCounts {
    let agent = Varta::open("@varta-tables").unwrap();
    agent.task("task", NEVER).unwrap().counts()
}

fn counters() -> Value {
    macro_rules! list {
        ([$($datagram:ident)*] [$($other:ident)*]) => {
            json!([
                $({ "name": stringify!($datagram), "settles": true },)*
                $({ "name": stringify!($other), "settles": false },)*
            ])
        };
    }
    varta_observer::for_each_counter!(list)
}

fn about() -> About {
    About { agent: 0, pid: 0, claimed_pid: 0, origin: Origin::Network }
}

/// The name of a variant.
fn variant(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap().to_owned()
}

/// The names of all fields of a struct or variant, private ones too, as Debug lists them.
fn fields(value: &impl Debug) -> Vec<String> {
    let text = format!("{value:#?}");
    let outermost = text.lines().filter_map(|line| line.strip_prefix("    "));
    outermost
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !name.starts_with(' '))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// One line for each entry of a table.
fn text(tables: &Map<String, Value>) -> String {
    let mut lines = Vec::new();
    for (name, table) in tables {
        let entries: Vec<String> = match table {
            Value::Array(entries) if entries.iter().all(Value::is_string) => {
                lines.push(format!("  \"{name}\": {table}"));
                continue;
            }
            Value::Array(entries) => entries.iter().map(Value::to_string).collect(),
            Value::Object(entries) => entries
                .iter()
                .map(|(name, value)| format!("{}: {value}", json!(name)))
                .collect(),
            other => panic!("{other} is not a table"),
        };
        let (open, close) = if table.is_array() { ('[', ']') } else { ('{', '}') };
        lines.push(format!("  \"{name}\": {open}\n    {}\n  {close}", entries.join(",\n    ")));
    }
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}
