//! The published daemon, from the registry.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Its version 0.2.0 with all that it can be built with.
#[track_caller]
pub(crate) fn published_daemon() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let got = Command::new(root.join("tools/peers"))
        .arg("daemon-0.2")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(got.status.success(), "the published daemon could not be built");
    PathBuf::from(String::from_utf8(got.stdout).unwrap().trim_end())
}
