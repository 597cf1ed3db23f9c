//! A daemon that looks for causes, and processes that beat until they are told to hang.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};

use crate::hangs::Hang;
use crate::outside;
use crate::support::{
    self, Child, Daemon, Folder, PATIENCE, lines_of, ms, script, text_of, uninterrupted,
    wait_until,
};

pub(crate) const THRESHOLD_S: f64 = 0.7;

/// After this many beats, the daemon has learned which thread makes them.
const BEATS: u32 = 40;

/// A daemon whose command records why it was started, and fails if there is a file `fail`.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) folder: Folder,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|folder, flags| Daemon::start(folder, flags))
    }

    pub(crate) fn with(start: impl FnOnce(&Folder, &[&str]) -> Daemon) -> Self {
        let folder = Folder::new();
        // Anyone may write there.
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let text = format!(
            "#!/bin/sh\nread up idle < /proc/uptime\necho \"$VARTA_PID $up $VARTA_CAUSE \
             ${{VARTA_STALL_CLASS:-none}} ${{VARTA_STALL:-none}} $VARTA_STALL_DETAIL\" >> {}\n[ ! -e {} ]\n",
            folder.join("started").display(),
            folder.join("fail").display()
        );
        let command = script(&folder, "note", &text);
        fs::set_permissions(&command, PermissionsExt::from_mode(0o755)).unwrap();
        let audit = folder.join("audit");
        let daemon = start(
            &folder,
            &[
                "--causes",
                "on",
                "--threshold-ms",
                "700",
                "--recovery-exec",
                command.to_str().unwrap(),
                "--recovery-audit-file",
                audit.to_str().unwrap(),
            ],
        );
        Self { daemon, folder }
    }

    pub(crate) fn agent(&self, hang: Hang) -> Agent {
        Agent::start(self.daemon.socket(), Shape::Main, ms(0), hang)
    }

    /// The commands that were started for a process.
    pub(crate) fn started(&self, pid: u32) -> Vec<Started> {
        let text = text_of(&self.folder.join("started"));
        // The last line may not be complete.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let of_pid = lines.filter(|words| words[0] == pid.to_string());
        let started = of_pid.map(|words| Started {
            at: words[1].parse().unwrap(),
            cause: words[2].to_owned(),
            class: words[3].to_owned(),
            stall: words[4].to_owned(),
            detail: words[5..].join(" "),
        });
        started.collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_command(&self, pid: u32) -> Started {
        wait_until(|| !self.started(pid).is_empty());
        self.started(pid).remove(0)
    }

    /// Waits until it is recorded that no command starts because something holds the process.
    #[track_caller]
    pub(crate) fn wait_until_held(
        &self,
        pid: u32,
        causes: impl IntoIterator<Item = &'static str>,
    ) {
        let is_refused =
            |line: &Vec<String>| line[4] == pid.to_string() && line[5] == "held_from_outside";
        wait_until(|| {
            lines_of(&self.folder.join("audit"), 3, "refused").iter().any(is_refused)
        });
        let causes: Vec<_> =
            causes.into_iter().map(|cause| format!("cause {cause} (")).collect();
        self.wait_for_line(pid, |line| causes.iter().any(|cause| line.contains(cause)));
    }

    /// Waits for a line of the log about a process.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, pid: u32, is_it: impl Fn(&str) -> bool) {
        let about = ["}", ","].map(|end| format!("\"pid\":{pid}{end}"));
        let (mut log, started) = (String::new(), Instant::now());
        let is_wanted =
            |line: &str| about.iter().any(|about| line.contains(about)) && is_it(line);
        while !log.lines().any(is_wanted) {
            assert!(started.elapsed() < PATIENCE, "no such line about {pid}:\n{log}");
            thread::sleep(ms(5));
            log = self.daemon.log();
        }
    }
}

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Started {
    /// Seconds since the system started.
    pub(crate) at: f64,
    pub(crate) cause: String,
    pub(crate) class: String,
    pub(crate) stall: String,
    pub(crate) detail: String,
}

/// Seconds since the system started, as the command reads them.
pub(crate) fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The first thread beats.
    Main,
    /// Another thread beats.
    Worker,
}

/// A process that beats until it is told to hang.
pub(crate) struct Agent {
    pub(crate) child: Child,
    control: UnixDatagram,
}

impl Agent {
    /// Starts it, and waits until the daemon has heard enough of it. For each beat it uses the CPU
    /// for this long.
    #[track_caller]
    pub(crate) fn start(path: &Path, shape: Shape, work: Duration, hang: Hang) -> Self {
        let (control, other_end) = UnixDatagram::pair().unwrap();
        other_end.set_read_timeout(Some(ms(12))).unwrap();
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = path.to_owned();
        let child = Child::start(move || {
            std::env::set_current_dir(path.parent().unwrap()).unwrap();
            let run = move || beat_until_told(&path, &other_end, work, hang);
            match shape {
                Shape::Main => run(),
                Shape::Worker => {
                    thread::spawn(run);
                    loop {
                        thread::park();
                    }
                }
            }
        });
        let agent = Self { child, control };
        assert_eq!(agent.receive(), 0.0);
        agent
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Tells it to hang once it goes on.
    pub(crate) fn tell_to_hang(&self) {
        self.control.send(&[0]).unwrap();
    }

    /// Lets it hang. Returns a time before its last beat.
    #[track_caller]
    pub(crate) fn hang(&self) -> f64 {
        self.tell_to_hang();
        self.receive()
    }

    #[track_caller]
    fn receive(&self) -> f64 {
        let mut bytes = [0; 8];
        let received = uninterrupted(|| self.control.recv(&mut bytes)).unwrap();
        assert_eq!(received, 8);
        f64::from_ne_bytes(bytes)
    }

    pub(crate) fn is_alive(&self) -> bool {
        support::is_alive(self.pid())
    }
}

fn beat_until_told(path: &Path, control: &UnixDatagram, work: Duration, hang: Hang) {
    let mut agent = Varta::connect(path).unwrap();
    let mut sent = 0;
    loop {
        outside::burn(work);
        sent += u32::from(agent.beat(Status::Ok, 0) == BeatOutcome::Sent);
        if sent == BEATS {
            control.send(&0.0_f64.to_ne_bytes()).unwrap();
            sent += 1;
        }
        if control.recv(&mut [0]).is_ok() {
            break;
        }
    }
    hang(&mut || {
        let before = uptime();
        let _ = agent.beat(Status::Ok, 0);
        control.send(&before.to_ne_bytes()).unwrap();
    });
}
