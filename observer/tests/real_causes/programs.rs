//! Agents in other languages. Each reads its beats, as lines of hexadecimal digits, from its input,
//! and hangs after the last one.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use varta::{Frame, Status};

use crate::trials::{BEATS, EVERY, LAST};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// These lines prepare, and this one hangs.
    Python(&'static str, &'static str),
    /// As Python, but the beats are made by another thread, for whose end the first one waits.
    PythonThread(&'static str, &'static str),
    /// This way to hang.
    Go(&'static str),
}

impl Program {
    /// Makes this process an agent in another language.
    pub(crate) fn be_agent(self, socket: &Path) -> ! {
        let mut command = match self {
            Self::Python(prepare, hang) => python_command(prepare, hang, "main()"),
            Self::PythonThread(prepare, hang) => {
                let start =
                    "worker = threading.Thread(target=main); worker.start(); worker.join()";
                python_command(prepare, hang, start)
            }
            Self::Go(hang) => {
                let mut command = Command::new(go().unwrap());
                command.arg(hang);
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

/// The interpreter itself, rather than a script that starts it.
pub(crate) fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let code = "import sys; print(sys.executable)";
        let found = Command::new("python3").args(["-c", code]).output().ok()?;
        let path = String::from_utf8(found.stdout).ok()?.trim().to_owned();
        (found.status.success() && !path.is_empty()).then_some(path)
    };
    PYTHON.get_or_init(find).as_deref()
}

fn python_command(prepare: &str, hang: &str, start: &str) -> Command {
    let indent = |lines: &str| lines.replace('\n', "\n    ");
    let code = format!(
        "\
import asyncio, os, queue, re, socket, sys, threading, time
beats = [bytes.fromhex(line) for line in sys.stdin]
agent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
agent.connect(os.environ['SOCKET'])
def main():
    for beat in beats[:-1]:
        agent.send(beat)
        time.sleep(int(os.environ['EVERY_MS']) / 1000)
    {}
    agent.send(beats[-1])
    {}
{start}
",
        indent(prepare),
        indent(hang)
    );
    let mut command = Command::new(python().unwrap());
    command.args(["-c", &code]);
    command
}

const GO: &str = r#"package main

import (
	"bufio"
	"encoding/hex"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	every, _ := strconv.Atoi(os.Getenv("EVERY_MS"))
	agent, err := net.Dial("unixgram", os.Getenv("SOCKET"))
	if err != nil {
		panic(err)
	}
	go func() { time.Sleep(time.Hour) }()
	lines := bufio.NewScanner(os.Stdin)
	var beats [][]byte
	for lines.Scan() {
		beat, err := hex.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		beats = append(beats, beat)
	}
	for at, beat := range beats {
		if at > 0 {
			time.Sleep(time.Duration(every) * time.Millisecond)
		}
		if _, err := agent.Write(beat); err != nil {
			panic(err)
		}
	}
	switch os.Args[1] {
	case "mutex":
		var mutex sync.Mutex
		mutex.Lock()
		mutex.Lock()
	case "channel":
		<-make(chan int)
	case "spin":
		for i := 0; ; i++ {
		}
	}
}
"#;

/// The agent in Go, which is compiled once.
pub(crate) fn go() -> Option<&'static Path> {
    static AGENT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("causes-in-go");
        fs::create_dir_all(&folder).ok()?;
        let (source, agent) = (folder.join("agent.go"), folder.join("agent"));
        fs::write(&source, GO).ok()?;
        let mut command = Command::new("go");
        command.args(["build", "-o"]).arg(&agent).arg(&source);
        command.output().is_ok_and(|built| built.status.success()).then_some(agent)
    };
    AGENT.get_or_init(build).as_deref()
}
