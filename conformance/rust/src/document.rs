//! The file: a header that says which protocol, and arrays of vectors, or stories.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use varta::{MAGIC, NONCE_TERMINAL, VERSION};

use crate::failure::{Failure, hex};
use crate::fields::Fields;

const CRC32C_VECTORS: &str = "crc32c_vectors";
const STORIES: &str = "stories";
const ARRAYS: [&str; 3] = [CRC32C_VECTORS, "frame_vectors", "secure_frame_vectors"];

pub(crate) struct Vector {
    array: String,
    place: usize,
    pub(crate) value: Value,
}

impl Vector {
    /// The id, or where the vector stands if it has none.
    pub(crate) fn name(&self) -> String {
        match self.value.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => format!("{}[{}]", self.array, self.place),
        }
    }

    /// The array of checksums is of one kind, and its vectors need not name it. So are
    /// stories.
    pub(crate) fn kind(&self) -> Result<&str, Failure> {
        let fields = Fields::new(&self.value)?;
        if self.array == STORIES {
            return Ok("story");
        }
        if self.array == CRC32C_VECTORS && !fields.has("kind") {
            return Ok("crc32c");
        }
        fields.text("kind")
    }
}

pub(crate) fn load(path: &Path) -> Result<Vec<Vector>, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let mut document: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| format!("it is not a JSON object: {error}"))?;
    check_header(&document)?;
    let required = if document.contains_key(STORIES) { &[STORIES][..] } else { &ARRAYS };
    for name in required {
        if !document.get(*name).is_some_and(Value::is_array) {
            return Err(format!("it has no array {name}"));
        }
    }
    let mut vectors = Vec::new();
    // Arrays that nobody here knows are read too: their vectors count as skipped.
    for (array, value) in &mut document {
        if let (true, Value::Array(values)) =
            (array.ends_with("_vectors") || array == STORIES, value)
        {
            vectors.extend(values.drain(..).enumerate().map(|(place, value)| Vector {
                array: array.clone(),
                place,
                value,
            }));
        }
    }
    if vectors.is_empty() {
        let what = if required == ARRAYS { "vectors" } else { STORIES };
        return Err(format!("it has no {what}"));
    }
    Ok(vectors)
}

/// A file for another protocol would fail a thousand times; this says it once.
fn check_header(document: &Map<String, Value>) -> Result<(), String> {
    for (name, ours) in [
        ("magic_hex", Value::from(hex(&MAGIC))),
        ("version_byte", Value::from(VERSION)),
        ("nonce_terminal_hex", Value::from(format!("{NONCE_TERMINAL:016x}"))),
    ] {
        match document.get(name) {
            Some(theirs) if *theirs == ours => {}
            Some(theirs) => {
                return Err(format!("its {name} is {theirs}, and here it is {ours}"));
            }
            None => return Err(format!("it has no {name}")),
        }
    }
    Ok(())
}
