//! The runner must fail and name every wrong vector, and must report every vector that it skips.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod running;

use std::fs;

use running::{file, run, run_text};
use serde_json::{Map, Value, json};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/vlp.json");
const ARRAYS: [&str; 3] = ["crc32c_vectors", "frame_vectors", "secure_frame_vectors"];

/// The ids of a vector of each kind, and of each form within a kind.
const SAMPLES: [&str; 14] = [
    "crc32c-check",
    "frame-golden-ok",
    "decode-version-1",
    "frame-length-33",
    "v1-status-ok",
    "v1-pid-0",
    "kdf-agent-42",
    "kdf-iv-prefix-7",
    "kdf-epoch-256",
    "seal-shared-whole",
    "seal-master-whole",
    "open-shared-bit-0",
    "open-master-bit-511",
    "open-master-length-63",
];

fn committed() -> Value {
    serde_json::from_slice(&fs::read(COMMITTED).unwrap()).unwrap()
}

/// The committed file without its vectors.
fn empty() -> Value {
    let mut document = committed();
    for array in ARRAYS {
        document[array] = json!([]);
    }
    document
}

/// A vector, and the name of its array.
fn sample(document: &Value, id: &str) -> (&'static str, Value) {
    ARRAYS
        .into_iter()
        .flat_map(|array| document[array].as_array().unwrap().iter().map(move |v| (array, v)))
        .find(|(_, vector)| vector["id"] == id)
        .map(|(array, vector)| (array, vector.clone()))
        .unwrap()
}

fn push(document: &mut Value, array: &str, vector: Value) {
    document[array].as_array_mut().unwrap().push(vector);
}

/// The name of the next vector if it has no id.
fn next_place(document: &Value, array: &str) -> String {
    format!("{array}[{}]", document[array].as_array().unwrap().len())
}

#[test]
fn the_committed_vectors_pass() {
    let total: usize =
        ARRAYS.iter().map(|array| committed()[array].as_array().unwrap().len()).sum();
    assert!(total >= 300);
    let ran = run(&[COMMITTED]);
    assert_eq!((ran.out, ran.code), (format!("{total} passed, 0 failed\n"), Some(0)));
}

#[test]
fn counts_are_printed_by_kind() {
    let ran = run(&["--json", COMMITTED]);
    let counts: Map<String, Value> = serde_json::from_str(&ran.out).unwrap();
    let kinds: Vec<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [
            "crc32c",
            "decode_error",
            "encode_decode_roundtrip",
            "frame_length",
            "kdf_agent_key",
            "kdf_epoch_key",
            "kdf_iv_prefix",
            "master_key_seal",
            "open_error",
            "shared_key_seal",
            "v1_decode",
        ]
    );
    assert!(counts.values().all(|count| count["passed"].as_u64() > Some(0)));
}

#[test]
fn one_changed_byte_fails_and_is_named() {
    let committed = committed();
    for (id, field, byte, mask) in [
        ("crc32c-check", "input_hex", 0, 0xff),
        ("crc32c-check", "expected_crc_hex", 3, 0xff),
        ("frame-golden-ok", "expected_wire_hex", 31, 0xff),
        ("decode-version-1", "wire_hex", 0, 0xff),
        ("v1-status-ok", "wire_hex", 31, 0xff),
        ("v1-pid-0", "wire_hex", 7, 0xff),
        ("kdf-agent-42", "master_key_hex", 0, 0xff),
        ("kdf-agent-42", "expected_okm_hex", 31, 0xff),
        ("kdf-iv-prefix-7", "session_salt_hex", 15, 0xff),
        ("kdf-iv-prefix-7", "expected_iv_prefix_hex", 7, 0xff),
        ("kdf-epoch-256", "agent_key_hex", 31, 0xff),
        ("kdf-epoch-256", "expected_okm_hex", 0, 0xff),
        ("seal-shared-whole", "key_hex", 0, 0xff),
        ("seal-shared-whole", "plaintext_hex", 0, 0xff),
        ("seal-shared-whole", "expected_wire_hex", 59, 0xff),
        ("seal-master-whole", "derived_agent_key_hex", 0, 0xff),
        ("seal-master-whole", "iv_random_hex", 7, 0xff),
        ("seal-master-whole", "expected_wire_hex", 0, 0xff),
        // Undoing the change makes the datagram valid, so it opens.
        ("open-shared-bit-0", "wire_hex", 0, 0x01),
        ("open-master-bit-511", "wire_hex", 63, 0x80),
    ] {
        let (array, mut vector) = sample(&committed, id);
        let hex = vector[field].as_str().unwrap();
        let (before, rest) = hex.split_at(2 * byte);
        let (changed, after) = rest.split_at(2);
        let changed = u8::from_str_radix(changed, 16).unwrap() ^ mask;
        vector[field] = Value::from(format!("{before}{changed:02x}{after}"));

        let mut document = empty();
        push(&mut document, array, vector);
        let ran = run_text("changed.json", &document.to_string());
        assert!(ran.out.starts_with(&format!("FAIL {id}: ")), "{id} {field}: {}", ran.out);
        assert!(ran.out.ends_with("\n0 passed, 1 failed\n"), "{id} {field}: {}", ran.out);
        assert_eq!(ran.code, Some(1), "{id} {field}");
    }
}

#[test]
fn a_frame_length_of_32_fails() {
    let (array, mut vector) = sample(&committed(), "frame-length-33");
    let hex = vector["wire_hex"].as_str().unwrap();
    vector["wire_hex"] = Value::from(&hex[..64]);
    let mut document = empty();
    push(&mut document, array, vector);
    let ran = run_text("length.json", &document.to_string());
    assert!(ran.out.starts_with("FAIL frame-length-33: decoding: expected no frame, got"));
    assert_eq!(ran.code, Some(1));
}

#[test]
fn a_missing_or_invalid_field_fails_and_is_named() {
    let committed = committed();
    let mut document = empty();
    let mut names = Vec::new();
    for id in SAMPLES {
        let (array, vector) = sample(&committed, id);
        for mut broken in broken(&vector) {
            if broken["id"].is_string() {
                let name = format!("{id}-{}", names.len());
                broken["id"] = Value::from(name.as_str());
                names.push(name);
            } else {
                names.push(next_place(&document, array));
            }
            push(&mut document, array, broken);
        }
    }
    for array in ARRAYS {
        names.push(next_place(&document, array));
        push(&mut document, array, json!("not an object"));
    }
    let ran = run_text("fields.json", &document.to_string());
    for name in &names {
        assert!(ran.out.contains(&format!("FAIL {name}: ")), "{name}: {}", ran.out);
    }
    assert!(ran.out.ends_with(&format!("\n0 passed, {} failed\n", names.len())), "{}", ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
}

/// The vector with one field missing or invalid, for each of its fields.
fn broken(vector: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, value) in vector.as_object().unwrap() {
        // Runners do not check these.
        if name == "description" || name == "info_hex" {
            continue;
        }
        let mut without = vector.clone();
        without.as_object_mut().unwrap().remove(name);
        all.push(without);

        let mut invalid = vec![json!({}), json!(-1), json!(1.5), json!(1e30), json!([])];
        if name != "id" && name != "kind" {
            invalid.extend([json!("0"), json!("XX"), json!("é0")]);
        }
        if value.is_object() {
            invalid.extend(broken(value));
        }
        for value in invalid {
            let mut with = vector.clone();
            with[name] = value;
            all.push(with);
        }
    }
    all
}

#[test]
fn numbers_are_not_rounded() {
    let document = committed();
    let (array, mut vector) = sample(&document, "frame-timestamp-9007199254740993");
    vector["inputs"]["timestamp"] = json!(9_007_199_254_740_992_u64);
    let mut rounded = empty();
    push(&mut rounded, array, vector.clone());
    let ran = run_text("rounded.json", &rounded.to_string());
    assert!(ran.out.starts_with("FAIL frame-timestamp-9007199254740993: encoding: "));

    let text = rounded.to_string().replace("9007199254740992", "18446744073709551616");
    let ran = run_text("too-large.json", &text);
    let named = "FAIL frame-timestamp-9007199254740993: timestamp: expected an unsigned number \
                 of 64 bits, got ";
    assert!(ran.out.starts_with(named), "{}", ran.out);

    let (array, mut vector) = sample(&document, "frame-payload-4294967295");
    vector["inputs"]["payload"] = json!(1_u64 << 32);
    let mut wide = empty();
    push(&mut wide, array, vector);
    let ran = run_text("too-wide.json", &wide.to_string());
    assert!(ran.out.contains("expected an unsigned number of 32 bits, got 4294967296"));
}

#[test]
fn unknown_kinds_are_reported_as_skipped() {
    let mut document = empty();
    let (array, known) = sample(&committed(), "frame-golden-ok");
    push(&mut document, array, known);
    for array in ARRAYS {
        push(&mut document, array, json!({ "id": format!("new-{array}"), "kind": "novel" }));
    }
    document["other_vectors"] = json!([{ "id": "elsewhere", "kind": "foreign" }]);
    let path = file("unknown.json", &document.to_string());

    let ran = run(&[path.to_str().unwrap()]);
    let expected = "SKIP 1 of the unknown kind \"foreign\"\nSKIP 3 of the unknown kind \"novel\"\n\
                1 passed, 0 failed, 4 skipped\n";
    assert_eq!((ran.out.as_str(), ran.code), (expected, Some(0)));

    let ran = run(&["--json", path.to_str().unwrap()]);
    let counts: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!(counts["novel"], json!({ "passed": 0, "failed": 0, "skipped": 3 }));
}

#[test]
fn an_unusable_file_is_refused_with_a_reason() {
    let with = |name: &str, value: Value| {
        let mut document = committed();
        document[name] = value;
        document.to_string()
    };
    let whole = fs::read_to_string(COMMITTED).unwrap();
    for (name, text, reason) in [
        ("nothing.json", String::new(), "it is not a JSON object: EOF"),
        ("truncated.json", whole[..whole.len() / 2].to_owned(), "it is not a JSON object: EOF"),
        ("array.json", "[]".to_owned(), "it is not a JSON object: invalid type"),
        ("deep.json", "[".repeat(100_000), "it is not a JSON object: "),
        ("no-vectors.json", empty().to_string(), "it has no vectors"),
        ("no-array.json", with("frame_vectors", json!({})), "it has no array frame_vectors"),
        ("magic.json", with("magic_hex", json!("5642")), "its magic_hex is \"5642\""),
        ("version.json", with("version_byte", json!(3)), "its version_byte is 3"),
        (
            "nonce.json",
            with("nonce_terminal_hex", json!(null)),
            "its nonce_terminal_hex is null",
        ),
        ("bare.json", "{}".to_owned(), "it has no magic_hex"),
    ] {
        let ran = run_text(name, &text);
        assert!(ran.err.starts_with("cannot use ") && ran.err.contains(reason), "{}", ran.err);
        assert_eq!((ran.out.as_str(), ran.code), ("", Some(2)), "{name}");
    }
    for path in ["/nonexistent/vlp.json", env!("CARGO_TARGET_TMPDIR")] {
        let ran = run(&[path]);
        assert!(ran.err.starts_with(&format!("cannot use {path}: ")), "{}", ran.err);
        assert_eq!(ran.code, Some(2));
    }
}

#[test]
fn bad_arguments_print_the_usage() {
    for arguments in [&[][..], &["a", "b"], &["--jsno", "a"], &["--json"]] {
        let ran = run(arguments);
        assert!(ran.err.starts_with("usage: varta-conformance [--json] FILE"));
        assert_eq!(ran.code, Some(2), "{arguments:?}");
    }
    let ran = run(&["--help"]);
    assert!(ran.out.starts_with("usage: "));
    assert_eq!(ran.code, Some(0));
}
