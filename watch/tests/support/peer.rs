//! varta-watch 0.2.0 from the registry.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds varta-watch 0.2.0 with all features and returns its path.
#[track_caller]
pub(crate) fn varta_watch_0_2() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let built = Command::new(root.join("tools/peers"))
        .arg("daemon-0.2")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success(), "varta-watch 0.2.0 could not be built");
    PathBuf::from(String::from_utf8(built.stdout).unwrap().trim_end())
}
