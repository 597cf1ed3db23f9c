//! `decode`: describes frames in plain text.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use varta::{DecodeError, FRAME_BYTES, Frame, NONCE_TERMINAL, v1};

use super::{Failure, print};

/// The length of a sealed frame.
const SEALED_BYTES: usize = 60;

/// Decode frames into readable text
///
/// A frame is 32 bytes, of version 2 or 1. The exit code is 1 if any input is not a frame.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Frames in hex digits
    #[arg(value_name = "HEX", required_unless_present = "file")]
    hex: Vec<String>,
    /// File of binary frames, or of one frame in hex per line; - reads stdin
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut frames = Vec::new();
    for (at, hex) in arguments.hex.iter().enumerate() {
        let bytes = from_hex(hex)
            .map_err(|why| Failure::bad_arguments(format_args!("frame {}: {why}", at + 1)))?;
        frames.push(bytes);
    }
    if let Some(file) = &arguments.file {
        let bytes = read(file).map_err(|error| {
            Failure::bad_arguments(format_args!("{}: {error}", file.display()))
        })?;
        frames.append(&mut split(&bytes).map_err(|why| {
            Failure::bad_arguments(format_args!("{}: {why}", file.display()))
        })?);
    }
    let mut all_are_frames = true;
    for bytes in &frames {
        let (text, is_frame) = describe(bytes);
        all_are_frames &= is_frame;
        if !print(text) {
            break;
        }
    }
    Ok(if all_are_frames { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Splits a file into frames. A file whose first line is hex digits is text, else binary.
fn split(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| is_hex(text));
    let Some(text) = text else {
        return Ok(bytes.chunks(FRAME_BYTES).map(<[u8]>::to_vec).collect());
    };
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(at, line)| from_hex(line).map_err(|why| format!("line {at}: {why}")))
        .collect()
}

fn is_hex(text: &str) -> bool {
    let first =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| from_hex(line).is_ok())
}

fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|char| !" :\t".contains(*char)).collect();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return Err(format!("{} hex digits do not make whole bytes", digits.len()));
    }
    let value =
        |digit: &char| digit.to_digit(16).ok_or(format!("{digit:?} is not a hex digit"));
    let pairs = digits.chunks_exact(2).map(|pair| {
        let byte = pair
            .iter()
            .try_fold(0, |byte, digit| Ok::<_, String>(byte << 4 | value(digit)?))?;
        u8::try_from(byte).map_err(|error| error.to_string())
    });
    pairs.collect()
}

/// Describes bytes, and returns whether they are a frame.
fn describe(bytes: &[u8]) -> (String, bool) {
    let Ok(wire) = <&[u8; FRAME_BYTES]>::try_from(bytes) else {
        let text = match bytes.len() {
            SEALED_BYTES => "a sealed frame, which cannot be read without the key".to_owned(),
            length => format!("not a frame: {length} bytes, expected {FRAME_BYTES}"),
        };
        return (text, bytes.len() == SEALED_BYTES);
    };
    match (Frame::decode(wire), v1::Frame::decode(wire)) {
        (Ok(frame), _) => {
            let Frame { status, pid, timestamp, nonce, payload } = frame;
            (describe_fields(2, status.name(), pid, timestamp, nonce, payload.into()), true)
        }
        (Err(DecodeError::BadVersion), Ok(frame)) => {
            let v1::Frame { status, pid, timestamp, nonce, payload } = frame;
            (describe_fields(1, status.name(), pid, timestamp, nonce, payload), true)
        }
        (Err(error), _) => (format!("not a frame: {error}"), false),
    }
}

fn describe_fields(
    version: u8,
    status: &str,
    pid: u32,
    timestamp: u64,
    nonce: u64,
    payload: u64,
) -> String {
    let (seconds, ms) = (timestamp / 1_000_000_000, timestamp / 1_000_000 % 1_000);
    let nonce = match nonce {
        NONCE_TERMINAL => "last words".to_owned(),
        nonce => format!("nonce {nonce}"),
    };
    format!(
        "version {version}, {status}, pid {pid}, {seconds}.{ms:03} s after connecting, {nonce}, \
         payload {payload}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use varta::Status;

    fn frame() -> Vec<u8> {
        let mut wire = [0; FRAME_BYTES];
        Frame::new(Status::Degraded, 4321, 1_500_000_000, 7, 42).encode(&mut wire);
        wire.to_vec()
    }

    #[test]
    fn frames_of_both_versions_are_described() {
        let expected =
            "version 2, degraded, pid 4321, 1.500 s after connecting, nonce 7, payload 42";
        assert_eq!(describe(&frame()), (expected.to_owned(), true));
        let mut wire = [0; FRAME_BYTES];
        v1::Frame::new(Status::Critical, 2, 0, NONCE_TERMINAL, u64::MAX).encode(&mut wire);
        let (text, is_frame) = describe(&wire);
        assert!(is_frame && text.starts_with("version 1, critical, pid 2"), "{text}");
        assert!(text.ends_with("last words, payload 18446744073709551615"), "{text}");
    }

    #[test]
    fn bytes_that_are_not_a_frame_are_described_with_the_reason() {
        assert!(!describe(&[0; 32]).1);
        assert_eq!(
            describe(&[0; 31]),
            ("not a frame: 31 bytes, expected 32".to_owned(), false)
        );
        assert!(describe(&[0; 60]).1);
    }

    #[test]
    fn a_file_contains_binary_frames_or_lines_of_hex() {
        let hex: String = frame().iter().map(|byte| format!("{byte:02x} ")).collect();
        let lines = format!("# two\n{hex}\n\n{}\n", hex.to_uppercase().replace(' ', ""));
        assert_eq!(split(lines.as_bytes()), Ok(vec![frame(), frame()]));
        let bytes = [frame(), frame(), vec![1, 2, 3]].concat();
        assert_eq!(split(&bytes), Ok(vec![frame(), frame(), vec![1, 2, 3]]));
        let broken = format!("{hex}\nxyz1\n");
        assert_eq!(split(broken.as_bytes()), Err("line 2: 'x' is not a hex digit".to_owned()));
    }
}
