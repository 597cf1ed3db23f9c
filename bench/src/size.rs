//! Code size: how much a stripped program grows when it sends a beat.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::Figure;

/// The features of the program in `size/`, and the name of each in the report.
const PROGRAMS: &[(&str, &str)] = &[
    ("varta", "varta without features adds"),
    ("varta-all", "varta, all features, open, adds"),
    ("varta-0-2", "varta 0.2 without features adds"),
    ("varta-0-2-all", "varta 0.2, all transports, adds"),
];

/// Builds the program with each of these features.
pub(crate) fn code() -> io::Result<Vec<Figure>> {
    let exe = std::env::current_exe()?;
    let target = exe
        .ancestors()
        .nth(2)
        .ok_or_else(|| io::Error::other("this program is not in a target folder"))?;
    let empty = build("", target)?;
    let mut figures = vec![Figure::bytes("a program that does nothing", empty)];
    for (feature, name) in PROGRAMS {
        figures.push(Figure::bytes(*name, build(feature, target)?.saturating_sub(empty)));
    }
    Ok(figures)
}

fn build(features: &str, target: &Path) -> io::Result<usize> {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("size/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--locked", "--features", features])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("building the program with {features:?} failed")));
    }
    let length = std::fs::metadata(target.join("release/varta-bench-size"))?.len();
    usize::try_from(length).map_err(io::Error::other)
}
