//! The file that remembers how far the history is published.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use varta_history::Cursor;

use crate::fleet::{AgentState, Fleet};

/// What has been published.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// The position after the last published record; none at the very beginning.
    pub(crate) cursor: Option<Cursor>,
    /// The agents whose states the stream holds as running or stalled.
    pub(crate) fleet: Fleet,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    cursor: String,
    agents: Vec<AgentState>,
}

/// The file. It is always replaced as a whole.
#[derive(Debug, Clone)]
pub(crate) struct CursorFile(PathBuf);

impl CursorFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Reads the file. It is empty before the first start.
    pub(crate) fn read(&self) -> Result<Published, String> {
        let failed = |why: String| {
            let file = self.0.display();
            format!("--cursor-file {file}: {why}; without it, all of the history is published")
        };
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Published::default());
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let content: Content =
            serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let cursor = content.cursor.parse().map_err(|_| failed("invalid cursor".to_owned()))?;
        Ok(Published { cursor: Some(cursor), fleet: Fleet::new(content.agents) })
    }

    /// The content of the file for what has been published.
    pub(crate) fn content(published: &Published) -> Option<Vec<u8>> {
        let cursor = published.cursor.as_ref()?.to_string();
        let agents = published.fleet.agents().cloned().collect();
        // Strings and numbers can always be written.
        serde_json::to_vec(&Content { cursor, agents }).ok()
    }

    /// Replaces the file, and waits until it is on the disk.
    pub(crate) fn write(&self, content: &[u8]) -> Result<(), String> {
        let failed = |error: io::Error| {
            format!("cannot write --cursor-file {}: {error}", self.0.display())
        };
        let new = self.0.with_extension("new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_data()
        });
        written.and_then(|()| fs::rename(&new, &self.0)).map_err(failed)
    }
}
