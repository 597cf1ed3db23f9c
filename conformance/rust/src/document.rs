//! Reads a file: a header that identifies the protocol, and arrays of vectors or stories.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use varta::{MAGIC, NONCE_TERMINAL, VERSION};

use crate::failure::{Failure, hex};
use crate::fields::Fields;

const CRC32C_VECTORS: &str = "crc32c_vectors";
const STORIES: &str = "stories";
const LANE_STORIES: &str = "lane_stories";

/// The arrays of each kind of file. The first array tells which it is; a file with none of them
/// lacks those of the last.
const FILES: [&[&str]; 4] = [
    &[STORIES],
    &[LANE_STORIES],
    &["lane_message_vectors", "lane_line_vectors"],
    &[CRC32C_VECTORS, "frame_vectors", "secure_frame_vectors"],
];

pub(crate) struct Vector {
    array: String,
    index: usize,
    pub(crate) value: Value,
}

impl Vector {
    /// The id, or the position of the vector if it has none.
    pub(crate) fn name(&self) -> String {
        match self.value.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => format!("{}[{}]", self.array, self.index),
        }
    }

    /// Checksum vectors and stories need not name their kind.
    pub(crate) fn kind(&self) -> Result<&str, Failure> {
        let fields = Fields::new(&self.value)?;
        match self.array.as_str() {
            STORIES => return Ok("story"),
            LANE_STORIES => return Ok("lane_story"),
            _ => {}
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
    let is_first =
        |arrays: &&&[&str]| arrays.first().is_some_and(|it| document.contains_key(*it));
    let required = FILES.iter().find(is_first).or(FILES.last()).copied().unwrap_or_default();
    for name in required {
        if !document.get(*name).is_some_and(Value::is_array) {
            return Err(format!("it has no array {name}"));
        }
    }
    let mut vectors = Vec::new();
    // Unknown arrays are read too: their vectors count as skipped.
    for (array, value) in &mut document {
        let is_read = array.ends_with("_vectors") || array == STORIES || array == LANE_STORIES;
        if let (true, Value::Array(values)) = (is_read, value) {
            vectors.extend(values.drain(..).enumerate().map(|(index, value)| Vector {
                array: array.clone(),
                index,
                value,
            }));
        }
    }
    if vectors.is_empty() {
        let what = if required.iter().any(|name| name.ends_with(STORIES)) {
            STORIES
        } else {
            "vectors"
        };
        return Err(format!("it has no {what}"));
    }
    Ok(vectors)
}

/// Refuses a file for another protocol, in which every vector would fail.
fn check_header(document: &Map<String, Value>) -> Result<(), String> {
    for (name, ours) in [
        ("magic_hex", Value::from(hex(&MAGIC))),
        ("version_byte", Value::from(VERSION)),
        ("nonce_terminal_hex", Value::from(format!("{NONCE_TERMINAL:016x}"))),
    ] {
        match document.get(name) {
            Some(theirs) if *theirs == ours => {}
            Some(theirs) => {
                return Err(format!("its {name} is {theirs}, but {ours} is supported"));
            }
            None => return Err(format!("it has no {name}")),
        }
    }
    Ok(())
}
