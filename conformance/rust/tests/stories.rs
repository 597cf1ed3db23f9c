//! The runner must fail for every difference in a story, and name the story and the step.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod running;

use std::fs;

use running::{run, run_text};
use serde_json::{Value, json};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/stories.json");

fn committed() -> Value {
    serde_json::from_slice(&fs::read(COMMITTED).unwrap()).unwrap()
}

/// Returns the committed story with that id.
fn story(id: &str) -> Value {
    let document = committed();
    let stories = document["stories"].as_array().unwrap();
    stories.iter().find(|story| story["id"] == id).unwrap().clone()
}

/// Runs a file with only this story, which must fail, and returns the output.
fn fail(story: &Value) -> String {
    let mut document = committed();
    document["stories"] = json!([story]);
    let ran = run_text("story.json", &document.to_string());
    assert!(ran.out.ends_with("\n0 passed, 1 failed\n"), "{}", ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    ran.out
}

/// Changes a story and checks that it fails with this message.
fn changed(id: &str, change: impl FnOnce(&mut Value), message: &str) {
    let mut story = story(id);
    change(&mut story);
    let out = fail(&story);
    assert!(out.starts_with(&format!("FAIL {id}: ")) && out.contains(message), "{out}");
}

#[test]
fn the_committed_stories_pass() {
    let total = committed()["stories"].as_array().unwrap().len();
    assert!(total >= 60);
    let ran = run(&[COMMITTED]);
    assert_eq!((ran.out, ran.code), (format!("{total} passed, 0 failed\n"), Some(0)));
    let ran = run(&["--json", COMMITTED]);
    let counts: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(counts, json!({ "story": { "passed": total, "failed": 0, "skipped": 0 } }));
}

#[test]
fn a_changed_byte_names_the_story_and_the_step() {
    let flip = |story: &mut Value| {
        let hex = story["steps"][2]["hex"].as_str().unwrap();
        story["steps"][2]["hex"] = Value::from(format!("ff{}", &hex[2..]));
    };
    changed("restart", flip, "step 2 {");
    changed("restart", flip, "expected {\"agent\":1,");
    changed("restart", flip, "got {\"error\":\"BadMagic\",\"kind\":\"decode\"");
}

#[test]
fn a_changed_expectation_names_the_story_and_the_step() {
    let story = story("restart");
    for (at, event) in story["events"].as_array().unwrap().iter().enumerate() {
        for name in event.as_object().unwrap().keys() {
            let mut other = story.clone();
            other["events"][at][name] = json!("other");
            let out = fail(&other);
            assert!(
                out.starts_with(&format!("FAIL restart: step {} {{", event["step"])),
                "{out}"
            );
            other["events"][at].as_object_mut().unwrap().remove(name);
            assert!(fail(&other).starts_with("FAIL restart: step "));
        }
        let mut more = story.clone();
        more["events"][at]["more"] = json!(0);
        assert!(fail(&more).contains("\"more\":0"));
    }
}

#[test]
fn events_must_match_exactly_and_in_order() {
    let id = "stalls-by-deadline";
    changed(
        id,
        |story| story["events"].as_array_mut().unwrap().swap(3, 4),
        "step 4 {\"at_ns\":60000000000,\"op\":\"poll\"}: expected {\"agent\":1,",
    );
    changed(
        id,
        |story| drop(story["events"].as_array_mut().unwrap().pop()),
        "expected nothing",
    );
    let late = |story: &mut Value| story["events"][0]["step"] = json!(1);
    changed(id, late, "step 0 {");
    let never = |story: &mut Value| {
        let mut event = story["events"][0].clone();
        event["step"] = json!(99);
        story["events"].as_array_mut().unwrap().push(event);
    };
    changed(id, never, "after the last step: expected {");
    let early = |story: &mut Value| story["events"][5]["step"] = json!(3);
    changed(id, early, "step 4 {");
}

#[test]
fn every_counter_is_compared() {
    let id = "lost-beats";
    changed(
        id,
        |story| story["counters"]["beats"] = json!(4),
        "counter beats: expected 4, got 5",
    );
    let without = |story: &mut Value| {
        story["counters"].as_object_mut().unwrap().remove("missed");
    };
    changed(id, without, "counter missed: expected 0, got 9007199254740979");
    let unknown = |story: &mut Value| story["counters"]["beets"] = json!(0);
    changed(id, unknown, "got beets");
}

#[test]
fn numbers_are_not_rounded() {
    let document = fs::read_to_string(COMMITTED).unwrap();
    let last_ns = format!("\"last_ns\": {}", (1_u64 << 53) + 1);
    assert_eq!(document.matches(&last_ns).count(), 1);
    let rounded = document.replace(&last_ns, &format!("\"last_ns\": {}", 1_u64 << 53));
    let ran = run_text("rounded-story.json", &rounded);
    assert!(ran.out.starts_with("FAIL numbers-beyond-doubles: step 1 {"), "{}", ran.out);
    assert_eq!(ran.out.matches("FAIL").count(), 1);
}

#[test]
fn an_unknown_or_invalid_value_fails_the_story() {
    let id = "a-container";
    let spoilt: [(&str, Value, &str); 14] = [
        ("/config/capacity", json!(0), "config: expected settings for an observer, got cannot"),
        ("/config/threshhold_ns", json!(1), "got threshhold_ns"),
        ("/config/uids", json!("all"), "uids: expected unsigned numbers of 32 bits"),
        ("/config/rate", json!({ "per_second": 1, "burst": 1, "per_hour": 1 }), "got per_hour"),
        ("/config/shared_keys_hex", json!(["00"]), "a list of 32 bytes each"),
        ("/moral", json!("none"), "got moral"),
        (
            "/steps/0/op",
            json!("dance"),
            "step 0: op: expected an operation that conformance/README.md lists",
        ),
        ("/steps/0/tempo", json!(1), "step 0: fields: "),
        (
            "/steps/0/listener",
            json!("tcp"),
            "step 0: listener: expected uds, udp or secure-udp",
        ),
        ("/steps/0/sender/gid", json!(0), "step 0: fields: "),
        ("/steps/0/sender/namespace", json!("mine"), "step 0: namespace: expected same, other"),
        ("/steps/0/at_ns", json!(-1), "step 0: at_ns: "),
        ("/steps/0/hex", json!("abc"), "step 0: hex: "),
        ("/steps/4/signal", json!(9), "step 4: cause: expected a code or a signal, got both"),
    ];
    for (pointer, value, message) in spoilt {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        changed(id, |story| story.pointer_mut(parent).unwrap()[name] = value, message);
    }
    for name in ["config", "steps", "events", "counters"] {
        let without = |story: &mut Value| drop(story.as_object_mut().unwrap().remove(name));
        changed(id, without, &format!("{name}: expected a"));
    }
}

#[test]
fn a_file_without_stories_is_refused() {
    let mut document = committed();
    for (stories, reason) in [(json!([]), "no stories"), (json!({}), "no array stories")] {
        document["stories"] = stories;
        let ran = run_text("no-stories.json", &document.to_string());
        assert!(ran.err.ends_with(&format!("it has {reason}\n")), "{}", ran.err);
        assert_eq!((ran.out.as_str(), ran.code), ("", Some(2)));
    }
}
