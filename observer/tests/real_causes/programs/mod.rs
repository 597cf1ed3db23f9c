//! Agents in other languages. Each reads its beats, as lines of hexadecimal digits, from its input,
//! and hangs after the last one.

mod compiled;
mod python;

use std::fmt::Write as _;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use varta::{Frame, Status};

pub(crate) use self::compiled::{go, java};
pub(crate) use self::python::python;
use crate::trials::{BEATS, EVERY, LAST};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// These lines prepare, and this one hangs.
    Python(&'static str, &'static str),
    /// As Python, but the beats are made by another thread, for whose end the first one waits.
    PythonThread(&'static str, &'static str),
    /// This way to hang, as in the others below.
    Go(&'static str),
    Java(&'static str),
    Node(&'static str),
}

impl Program {
    /// Makes this process an agent in another language.
    pub(crate) fn be_agent(self, socket: &Path) -> ! {
        let mut command = match self {
            Self::Python(prepare, hang) => python::command(prepare, hang, "main()"),
            Self::PythonThread(prepare, hang) => {
                let start =
                    "worker = threading.Thread(target=main); worker.start(); worker.join()";
                python::command(prepare, hang, start)
            }
            Self::Go(hang) => {
                let mut command = Command::new(go().unwrap());
                command.arg(hang);
                command
            }
            Self::Java(hang) => {
                let mut command = Command::new("java");
                command.args(["-Xmx64m", "-cp"]).arg(java().unwrap()).args(["Agent", hang]);
                command.stdout(connected(socket));
                command
            }
            Self::Node(hang) => {
                let code = include_str!("agent.mjs");
                let mut command = Command::new("node");
                // Its arguments begin after its own path, which it does not have here.
                command.args(["--input-type=module", "--eval", code, "agent", hang]);
                command.stdout(connected(socket));
                command
            }
        };
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(beats().as_bytes()).unwrap();
        drop(writer);
        let error = command
            .env("SOCKET", socket)
            .env("EVERY_MS", EVERY.as_millis().to_string())
            .stdin(reader)
            .exec();
        panic!("{command:?}: {error}");
    }
}

/// A socket for languages that cannot open one of this kind. Whatever is written to it at once is
/// one beat.
fn connected(path: &Path) -> OwnedFd {
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(path).unwrap();
    socket.into()
}

/// The beats of this process.
fn beats() -> String {
    let mut lines = String::new();
    for nonce in 1..=BEATS {
        let mut wire = [0; varta::FRAME_BYTES];
        let payload = if nonce == BEATS { LAST } else { 0 };
        Frame::new(Status::Ok, std::process::id(), 0, nonce, payload).encode(&mut wire);
        for byte in wire {
            write!(lines, "{byte:02x}").unwrap();
        }
        lines.push('\n');
    }
    lines
}
