//! The runner must fail for every difference in a vector of the lane, and name it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod running;

use std::fs;

use running::{run, run_text};
use serde_json::{Value, json};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/lane.json");
const ARRAYS: [&str; 2] = ["lane_message_vectors", "lane_line_vectors"];

fn committed() -> Value {
    serde_json::from_slice(&fs::read(COMMITTED).unwrap()).unwrap()
}

#[test]
fn the_committed_vectors_pass() {
    let count = |array: &str| committed()[array].as_array().unwrap().len();
    let total: usize = ARRAYS.into_iter().map(count).sum();
    assert!(total >= 100);
    let ran = run(&[COMMITTED]);
    assert_eq!((ran.out, ran.code), (format!("{total} passed, 0 failed\n"), Some(0)));
}

#[test]
fn each_changed_missing_or_invalid_value_fails() {
    let mut document = committed();
    let mut total = 0;
    for array in ARRAYS {
        let mut changed = Vec::new();
        for vector in document[array].as_array().unwrap() {
            let id = vector["id"].as_str().unwrap();
            // What is invalid stays so after most changes.
            let is_valid = !id.starts_with("invalid") && !id.starts_with("no-message");
            for mut other in others(vector, is_valid) {
                if ["id", "description", "kind"].iter().all(|it| other[it] == vector[it]) {
                    other["id"] = json!(format!("{id} {}", changed.len()));
                    changed.push(other);
                }
            }
        }
        total += changed.len();
        document[array] = json!(changed);
    }
    assert!(total > 1000);
    let ran = run_text("changed.json", &document.to_string());
    let all = ARRAYS.iter().flat_map(|array| document[array].as_array().unwrap());
    for vector in all {
        let failed = format!("FAIL {}: ", vector["id"].as_str().unwrap());
        assert!(ran.out.contains(&failed), "this one passes: {vector}");
    }
    assert!(ran.out.ends_with(&format!("\n0 passed, {total} failed\n")));
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
}

/// The value with one part of it missing, of another type or, if that is asked for, different.
fn others(value: &Value, different: bool) -> Vec<Value> {
    let mut all = match value {
        Value::Object(fields) => {
            fields.keys().flat_map(|name| parts(value, name, different)).collect()
        }
        Value::Null => vec![json!("?")],
        Value::Array(_) => vec![json!(["?"]), Value::Null],
        _ => vec![json!(1.5), json!("?"), Value::Null],
    };
    match value {
        Value::Number(number) if different => {
            let number = number.as_u64().unwrap_or(0);
            all.push(json!(number.checked_ilog2().map_or(1, |bit| number ^ (1 << bit | 1))));
        }
        Value::String(text) if different => {
            let first = if text.starts_with('0') { "1" } else { "0" };
            all.push(json!(format!("{first}{}", text.chars().skip(1).collect::<String>())));
        }
        Value::Bool(whether) if different => all.push(json!(!whether)),
        _ => {}
    }
    all
}

fn parts(value: &Value, name: &str, different: bool) -> Vec<Value> {
    let mut without = value.clone();
    without.as_object_mut().unwrap().remove(name);
    let with = others(&value[name], different).into_iter().map(|other| {
        let mut with = value.clone();
        with[name] = other;
        with
    });
    with.chain([without]).collect()
}
