//! The published daemon, from the registry.

use std::path::{Path, PathBuf};
use std::process::Command;

const FEATURES: &str = "prometheus-exporter,secure-udp,unsafe-plaintext-udp";

/// Its version 0.2.0 with all that it can be built with; built once into the target folder.
#[track_caller]
pub(crate) fn published_daemon() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let peers = root.join(target).join("peers");
    let home = peers.join("varta-watch-0.2.0-all");
    let binary = home.join("bin/varta-watch");
    if !binary.exists() {
        let built = Command::new("cargo")
            .args(["install", "--quiet", "--version", "=0.2.0", "--features", FEATURES])
            .arg("--root")
            .arg(&home)
            .arg("--target-dir")
            .arg(peers.join("build"))
            .arg("varta-watch")
            .status();
        assert!(built.unwrap().success(), "the published daemon could not be built");
    }
    binary
}
