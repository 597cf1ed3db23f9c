//! The runner must fail for every difference in a story of the lane, whether the observer or the
//! agent's task differs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod running;

use std::fs;

use running::{run, run_text};
use serde_json::{Value, json};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/lane-stories.json");

fn committed() -> Value {
    serde_json::from_slice(&fs::read(COMMITTED).unwrap()).unwrap()
}

/// Changes a story and checks that it fails with this message.
fn changed(id: &str, change: impl FnOnce(&mut Value), message: &str) {
    let mut document = committed();
    let stories = document["lane_stories"].as_array().unwrap();
    let mut story = stories.iter().find(|story| story["id"] == id).unwrap().clone();
    change(&mut story);
    document["lane_stories"] = json!([story]);
    let ran = run_text("lane-story.json", &document.to_string());
    let failed = format!("FAIL {id}: ");
    assert!(ran.out.starts_with(&failed) && ran.out.contains(message), "{}", ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
}

#[test]
fn the_committed_stories_pass() {
    let total = committed()["lane_stories"].as_array().unwrap().len();
    assert!(total >= 60);
    let ran = run(&[COMMITTED]);
    assert_eq!((ran.out, ran.code), (format!("{total} passed, 0 failed\n"), Some(0)));
}

#[test]
fn each_changed_field_of_an_event_fails() {
    let mut document = committed();
    let mut changed = Vec::new();
    for id in ["a-span-and-then-the-threshold", "counts-add-up", "closed-and-failed"] {
        let stories = document["lane_stories"].as_array().unwrap();
        let story = stories.iter().find(|story| story["id"] == id).unwrap();
        for (at, event) in story["events"].as_array().unwrap().iter().enumerate() {
            for name in event.as_object().unwrap().keys() {
                let mut other = story.clone();
                other["events"][at][name] = json!("other");
                other["id"] = json!(format!("{id} {at} {name}"));
                changed.push(other);
            }
        }
    }
    let total = changed.len();
    assert!(total > 100);
    document["lane_stories"] = json!(changed);
    let ran = run_text("changed.json", &document.to_string());
    assert!(ran.out.ends_with(&format!("\n0 passed, {total} failed\n")), "{}", ran.out);
}

#[test]
fn each_changed_part_of_a_cause_fails() {
    let mut document = committed();
    let mut changed = Vec::new();
    for id in ["throttled", "the-thread-of-a-task"] {
        let stories = document["lane_stories"].as_array().unwrap();
        let story = stories.iter().find(|story| story["id"] == id).unwrap();
        for (at, event) in story["events"].as_array().unwrap().iter().enumerate() {
            for name in event["why"].as_object().into_iter().flat_map(|why| why.keys()) {
                let mut other = story.clone();
                other["events"][at]["why"][name] = json!("other");
                other["id"] = json!(format!("{id} {at} {name}"));
                changed.push(other);
            }
        }
    }
    let total = changed.len();
    assert_eq!(total, 4 * 13);
    document["lane_stories"] = json!(changed);
    let ran = run_text("changed-causes.json", &document.to_string());
    assert!(ran.out.ends_with(&format!("\n0 passed, {total} failed\n")), "{}", ran.out);
}

#[test]
fn what_is_read_must_be_what_the_story_says() {
    let id = "throttled";
    for (pointer, value, message) in [
        ("/config/causes", json!(1), "causes: expected true or false"),
        ("/config/causes", json!(false), "expected {\"agent\":1"),
        ("/steps/0/fresh", json!(1), "fresh: expected true or false"),
        ("/steps/1/quota", json!(1), "fields: "),
        ("/steps/1/quota_throttled", json!(17), "expected {\"agent\":1"),
        ("/steps/2/pid", json!(1), "pid: expected a process that has a reading"),
        ("/steps/2/state", json!("running"), "state: expected a letter"),
        ("/steps/2/call", json!("dance"), "call: expected a system call, got dance"),
        ("/steps/2/stop_signal", json!(256), "stop_signal: expected an unsigned number of 8"),
    ] {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        changed(id, |story| story.pointer_mut(parent).unwrap()[name] = value, message);
    }
}

#[test]
fn a_call_must_write_what_the_story_says() {
    let id = "the-earliest-span-counts";
    let call = |story: &Value| {
        let steps = story["steps"].as_array().unwrap();
        steps.iter().rposition(|step| step["verb"] == "unwatch").unwrap()
    };
    for (pointer, value, message) in [
        ("hot/until", json!(7), "what the call writes: expected Hot"),
        ("hot/at", json!(7), "what the call writes: expected Hot"),
        ("hot/which", json!("progress"), "what the call writes: expected Hot"),
        ("hot/which", json!("other"), "promise: expected the name of a promise"),
        ("hot/last", json!(1), "what the call writes: expected Hot"),
        ("cold/violations", json!(9), "violations: expected 9"),
        ("cold/last_violation/by", json!(9), "violations: expected "),
        ("cold/name", json!(""), "name: expected the name of a task"),
        ("verb", json!("dance"), "verb: expected declare, beat, idle"),
        ("span", json!(99), "span: expected a span that was opened, got 99"),
        ("pair", json!(9), "pair: expected the pair of a task, got 9"),
        ("tempo", json!(1), "fields: "),
    ] {
        let change = |story: &mut Value| {
            let step = call(story);
            let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", pointer));
            let parent = if parent.is_empty() { String::new() } else { format!("/{parent}") };
            story["steps"][step].pointer_mut(&parent).unwrap()[name] = value;
        };
        changed(id, change, message);
    }
}

#[test]
fn an_unknown_or_invalid_value_fails_the_story() {
    let id = "users-that-are-refused";
    for (pointer, value, message) in [
        (
            "/steps/0/errno",
            json!(12),
            "the answer: expected None, Some(12), got None, Some(13)",
        ),
        (
            "/steps/0/uid",
            json!(1000),
            "the answer: expected None, Some(13), got Some((2000000000",
        ),
        ("/steps/1/hot/info", json!(0), "fields: expected at, until, info, last"),
        ("/steps/1/pair", json!(32), "pair: expected a pair of a page, got 32"),
        ("/config/lane", json!("on"), "lane: expected true or false"),
        ("/config/task_slack", json!({ "a": -1 }), "a: expected an unsigned number"),
        ("/counters/lane_refused", json!(0), "counter lane_refused: expected 0, got 1"),
    ] {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        changed(id, |story| story.pointer_mut(parent).unwrap()[name] = value, message);
    }
    for op in ["mapped", "bell", "detach"] {
        let without_page = |story: &mut Value| {
            story["steps"][2] = json!({ "at_ns": 2_000_000_000_u64, "op": op, "pid": 1 });
        };
        changed(id, without_page, "pid: expected a process that has a page");
    }
}
