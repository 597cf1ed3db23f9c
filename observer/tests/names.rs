//! The names of agents: what they declare, and what the kernel tells about their processes.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]
#![allow(unsafe_code, reason = "names of programs")]

mod support;

use std::ffi::CStr;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::Ordering::SeqCst;

use support::lane::{Answer, LaneAgent, LaneSocket, hello};
use support::{
    Child, Folder, NEVER, TestAgent, agent_info, frame, is, kill, ms, needs_root, poll_all,
    poll_until, shared_numbers, skipped, wait_until,
};
use varta::internal::lane::message::{Hello, Message, NAME_BYTES};
use varta::{Endpoint, Options, Status, Varta};
use varta_observer::{Builder, Event, Label, Names, Observer};

fn bind(path: &Path) -> Observer {
    let listening = Builder::new().listen(path.to_str().unwrap().parse().unwrap());
    listening.threshold(NEVER).lane(true).bind().unwrap()
}

fn set_program_name(name: &CStr) {
    // SAFETY: `name` ends with a NUL.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, 0);
}

/// The label and all names of the only agent.
fn names_of(observer: &Observer) -> (String, Names) {
    let agents = observer.snapshot().unwrap();
    let [agent] = &agents[..] else { panic!("{agents:?}") };
    let names = observer.names(agent.agent).unwrap().unwrap();
    (agent.label.to_string(), names)
}

/// A page for a process that declares this name.
fn attach(path: &Path, observer: &mut Observer, nonce: u64, name: &[u8]) -> LaneAgent {
    let socket = LaneSocket::connect(path).unwrap();
    let mut padded = [0; NAME_BYTES];
    padded[..name.len()].copy_from_slice(name);
    socket.say(&Message::Hello(Hello { nonce, name: padded, ..hello() })).unwrap();
    let Answer::Page(offer, files) = socket.await_answer(|| drop(poll_all(observer))) else {
        panic!("there is no page");
    };
    let mut agent = LaneAgent::map(socket, offer, files);
    agent.socket.say(&Message::Mapped).unwrap();
    agent.nonce = nonce;
    agent.beat();
    agent
}

#[test]
fn an_agent_that_declares_a_name_is_shown_with_it() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bind(&path);
    let endpoint: Endpoint = path.to_str().unwrap().parse().unwrap();
    let child = Child::start(|| {
        let mut agent =
            Varta::open_with(&endpoint, Options::default().name("indexer")).unwrap();
        wait_until(|| {
            let _ = agent.beat(Status::Ok, 0);
            agent.watched().is_some()
        });
        wait_until(|| false);
    });
    let mut label = String::new();
    wait_until(|| {
        poll_all(&mut observer);
        label = agent_info(&observer, child.pid())
            .map_or_else(String::new, |it| it.label.to_string());
        label == "indexer"
    });
    assert_ne!(agent_info(&observer, child.pid()).unwrap().name.to_string(), "indexer");
}

#[test]
fn a_declared_name_is_cleaned_and_taken_once() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bind(&path);
    // It has no name at first: a second page, or another copy of the library, may bring one.
    let _first = attach(&path, &mut observer, 0, b"");
    poll_until(&mut observer, is("beat"));
    let program = names_of(&observer);
    assert_eq!(program.1.declared, Label::EMPTY);
    let hostile = b"a\x1b[2J\n\xff\xe2\x80\xae\"b";
    for (nonce, name) in [(10, &hostile[..]), (20, b"another")] {
        let _next = attach(&path, &mut observer, nonce, name);
        poll_until(&mut observer, is("beat"));
        let (label, names) = names_of(&observer);
        assert_eq!(label, "a\\u{1b}[2J\\u{a}\u{fffd}\\u{202e}\"b");
        assert_eq!(names.declared.as_str(), label);
    }
}

/// The label of an event's agent.
fn label_of(observer: &Observer, event: &Event) -> String {
    event.about.map_or_else(String::new, |about| observer.label(about.agent).to_string())
}

#[test]
fn every_event_of_a_process_has_its_name_also_its_exit() {
    for lane in [true, false] {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let endpoint: Endpoint = path.to_str().unwrap().parse().unwrap();
        let listening = Builder::new().listen(endpoint.clone()).threshold(ms(100));
        let mut observer = listening.lane(lane).bind().unwrap();
        let child = Child::start(|| {
            set_program_name(c"worker");
            let options = Options::default().name("indexer");
            let mut agent = Varta::open_with(&endpoint, options).unwrap();
            wait_until(|| {
                let _ = agent.beat(Status::Ok, 0);
                agent.watched().is_some() == lane
            });
            // The others may have gone as datagrams, before the name.
            let _ = agent.beat(Status::Ok, 0);
            wait_until(|| false);
        });
        let mut names = Vec::new();
        for kind in ["beat", "stall", "exit"] {
            if kind == "exit" {
                kill(child.pid(), libc::SIGKILL);
            }
            wait_until(|| {
                let event = observer.poll().unwrap().filter(is(kind));
                let name = event.map(|event| label_of(&observer, &event));
                // It may beat before it declares its name, which is the name from then on.
                let name = name.filter(|name| !lane || name == "indexer");
                names.extend(name.clone());
                name.is_some()
            });
            let listed =
                agent_info(&observer, child.pid()).map(|agent| agent.label.to_string());
            assert_eq!(listed.as_ref(), names.last().filter(|_| kind != "exit"));
        }
        // Without shared memory it cannot declare one, and has that of its program or service.
        assert!(!names[0].is_empty() && (names[0] == "indexer") == lane);
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    }
}

#[test]
fn the_events_of_one_batch_are_named_though_their_processes_have_ended() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bind(&path);
    let mut agents: Vec<_> =
        (0..4).map(|_| TestAgent::after(&path, || set_program_name(c"short-lived"))).collect();
    for agent in &agents {
        agent.beat(1);
        // It is read while the process is there.
        poll_until(&mut observer, is("beat"));
    }
    for agent in &mut agents {
        agent.beat(2);
        agent.exit(3);
        agent.reap();
    }
    let mut events = [Event::NOTHING; 64];
    let mut found = 0;
    wait_until(|| {
        found += observer.poll_many(&mut events[found..], ms(10)).unwrap();
        events[..found].iter().filter(|event| is("exit")(event)).count() == agents.len()
    });
    assert_eq!(observer.snapshot().unwrap(), []);
    for event in &events[..found] {
        let label = label_of(&observer, event);
        assert!(event.about.is_none() || !label.is_empty(), "{event}");
    }
    assert_eq!(observer.label(0), Label::EMPTY);
    assert_eq!(observer.label(1_000), Label::EMPTY);
}

/// It is read when the agent is first heard, and never again.
#[test]
fn a_process_that_renames_itself_all_the_time_keeps_its_first_name() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bind(&path);
    let [heard] = shared_numbers();
    let agent = Child::start(|| {
        set_program_name(c"a\x1b[31m\n");
        let socket = UnixDatagram::unbound().unwrap();
        socket.send_to(&frame(process::id(), 1), &path).unwrap();
        wait_until(|| heard.load(SeqCst) == 1);
        for _ in 0..1_000 {
            set_program_name(c"another");
        }
        socket.send_to(&frame(process::id(), 2), &path).unwrap();
        wait_until(|| false);
    });
    poll_until(&mut observer, is("beat"));
    heard.store(1, SeqCst);
    poll_until(&mut observer, is("beat"));
    let info = agent_info(&observer, agent.pid()).unwrap();
    assert_eq!(info.name.as_bytes(), b"a\x1b[31m\n");
    let names = observer.names(info.agent).unwrap().unwrap();
    assert_eq!(info.label, names.label(info.name.as_bytes()));
}

/// A control group of version 2 that this process made, with one process in it.
struct Group(PathBuf);

impl Group {
    /// `None` if the system does not let this process make one.
    fn new(name: &str, pid: u32) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mount.into_iter().find(|fields| fields.get(2) == Some(&"cgroup2"))?;
        let path = Path::new(mount[1]).join(name);
        fs::create_dir_all(&path).ok()?;
        let group = Self(path);
        fs::write(group.0.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        wait_until(|| fs::remove_dir(&self.0).is_ok() || !self.0.exists());
    }
}

#[test]
fn the_unit_of_a_process_is_read_from_its_control_group() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bind(&path);
    let unit = format!("varta-test-{}.service", process::id());
    let mut agent = TestAgent::at(&path);
    let Some(group) = Group::new(&unit, agent.pid()) else {
        return skipped("a control group of version 2 that can be written");
    };
    agent.beat(1);
    poll_until(&mut observer, is("beat"));
    let (label, names) = names_of(&observer);
    assert_eq!((label.as_str(), names.unit.as_str()), (&*unit, &*unit));
    assert_eq!((names.user_unit, names.container), (Label::EMPTY, Label::EMPTY));
    let number = observer.snapshot().unwrap()[0].agent;
    assert!(observer.set_script(number, Label::new(b"app.py")));
    assert_eq!(names_of(&observer).0, unit);
    assert!(observer.set_launcher_name(number, Label::new(b"job")));
    assert_eq!(names_of(&observer).0, "job");
    agent.exit(0);
    agent.reap();
    poll_until(&mut observer, is("exit"));
    assert!(!observer.set_launcher_name(number, Label::new(b"job")));
    assert_eq!(observer.names(number).unwrap(), None);
    drop(group);
}
