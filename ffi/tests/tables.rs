//! Names, limits and error codes agree with `conformance/tables.json`. The numbers of the header
//! are compared with it by `tests/installed/test_tables.py`, as a C and a C++ compiler see them.

use std::io;

use serde_json::Value;

use crate::constants::*;
use crate::errors::{Failure, VARTA_EKEY};
use crate::guard::Text;
use crate::observer::causes::varta_cause_name;
use crate::task::names::*;

fn tables() -> Value {
    serde_json::from_str(include_str!("../../conformance/tables.json")).unwrap()
}

/// Compares a function that gives names with a table: every other number must be "unknown".
fn assert_names(table: &Value, name: impl Fn(i32) -> Text) {
    for code in (-1..=257).chain([i32::MIN, i32::MAX]) {
        let entry = table.as_array().unwrap().iter().find(|entry| entry["code"] == code);
        let expected = entry.map_or("unknown", |entry| entry["name"].as_str().unwrap());
        assert_eq!(name(code).words(), expected, "number {code}");
    }
}

#[test]
fn the_names_of_numbers_are_those_of_the_table() {
    let tables = tables();
    assert_names(&tables["decode_errors"], |code| varta_decode_error_name(code));
    let mut outcomes = tables["drop_reasons"].clone();
    outcomes.as_array_mut().unwrap().push(serde_json::json!({ "code": 0, "name": "sent" }));
    assert_names(&outcomes, |code| varta_outcome_name(code));

    // These take a byte: -1 and 257 must not reach them as 255 and 1.
    let of_byte = |name: extern "C" fn(u8) -> Text| {
        move |code| name(u8::try_from(code).unwrap_or(u8::MAX))
    };
    assert_names(&tables["statuses"], of_byte(varta_status_name));
    assert_names(&tables["kinds"], of_byte(varta_event_name));
    assert_names(&tables["origins"], of_byte(varta_origin_name));
    assert_names(&tables["promises"], of_byte(varta_promise_name));
    assert_names(&tables["rules"], of_byte(varta_rule_name));
    assert_names(&tables["endings"], of_byte(varta_ending_name));
    assert_names(&tables["causes"], of_byte(varta_cause_name));
}

#[test]
fn an_error_without_an_errno_has_that_of_the_table() {
    let tables = tables();
    for (kind, errno) in varta::internal::ERRNO_OF_KIND {
        let code = Failure::from(io::Error::from(kind)).code();
        assert_eq!(code, -errno, "{kind:?}");
        let listed = serde_json::json!({ "kind": format!("{kind:?}"), "errno": errno });
        assert!(tables["errnos"].as_array().unwrap().contains(&listed), "{listed}");
    }
    let code = |kind: io::ErrorKind| Failure::from(io::Error::from(kind)).code();
    assert_eq!(code(io::ErrorKind::InvalidData), VARTA_EKEY);
    assert_eq!(code(io::ErrorKind::Other), -libc::EIO);
}
