use std::fs;

use varta_history::{
    Agent, ClockPair, Exit, Gap, Limits, Origin as Writing, Record, Run, Stall, Writer,
};

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = format!("varta-relay-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn backlog(&self) -> Result<Backlog, String> {
        let file = CursorFile::new(&self.0.join("cursor"));
        Backlog::open(&self.0.join("history"), file, Rc::default())
    }

    /// Writes a run of the daemon.
    fn write(&self, start_us: u64, records: &[Record]) {
        let run = Run { boot_id: [7; 16], start_us };
        let origin = Writing { host: "web1".into(), run, boot_ns: 0 };
        let now = ClockPair { observer_ns: 0, wall_ns: 1_700_000_000_000_000_000 };
        let folder = self.0.join("history");
        let mut writer = Writer::open(&folder, Limits::default(), origin, now).unwrap();
        for (seq, record) in (1..).zip(records) {
            writer.push(seq, seq, record);
        }
        writer.flush(now, Vec::new).unwrap();
        writer.end(now).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn heard(agent: u64) -> Record {
    Agent { agent, program: "a".into(), ..Agent::default() }.into()
}

/// The subjects of all messages that can be sent now, from the third part on.
fn send(backlog: &mut Backlog) -> Vec<String> {
    let mut subjects = Vec::new();
    loop {
        match backlog.next_to_send(3) {
            Next::Messages(messages) => {
                assert!(matches!(messages.len(), 1..=3));
                assert!(messages.iter().all(|it| it.is_state() == messages[0].is_state()));
                subjects.extend(messages.iter().map(|message| {
                    let parts: Vec<_> = message.subject.splitn(4, '.').collect();
                    format!("{} {}", parts[1], parts[3])
                }));
            }
            Next::NotYet => {}
            Next::Nothing => return subjects,
        }
    }
}

const RUN: &str = "07070707070707070707070707070707";

#[tokio::test]
async fn only_what_is_confirmed_is_not_published_again() {
    let folder = Folder::new("confirmed");
    let stall = Stall { agent: 1, ..Stall::default() }.into();
    let exit = Exit { agent: 2, ..Exit::default() }.into();
    folder.write(1, &[heard(1), heard(2), Gap::default().into(), stall, exit]);
    let all = ["event a.agent", "event a.agent", "event a.stall", "event a.exit"];
    let states = [format!("state a.{RUN}-1-1"), format!("state a.{RUN}-1-2")];
    let all: Vec<_> = all.map(str::to_owned).into_iter().chain(states).collect();

    let mut backlog = folder.backlog().unwrap();
    assert_eq!(send(&mut backlog), all, "only the last state of each agent");
    backlog.refused();
    assert_eq!(send(&mut backlog), all, "after a refusal all of them again");
    backlog.confirmed(false);
    backlog.send_again();
    assert_eq!(send(&mut backlog), all[1..], "on a new connection");
    backlog.save().await.unwrap();
    // The states are not stored yet, so that what leads to them is read again.
    let mut again = folder.backlog().unwrap();
    assert_eq!(send(&mut again), all);

    for _ in 1..all.len() {
        backlog.confirmed(true);
    }
    assert_eq!((send(&mut backlog).len(), backlog.metrics.waiting.get()), (0, 0));
    backlog.save().await.unwrap();
    let mut again = folder.backlog().unwrap();
    assert_eq!(send(&mut again), [""; 0]);
    // The agents that are left are known without the records about them.
    folder.write(2, &[heard(5)]);
    let wanted = [
        "event a.agent".to_owned(),
        format!("state a.{RUN}-1-1"),
        format!("state a.{RUN}-2-5"),
    ];
    assert_eq!(send(&mut again), wanted);
}

#[tokio::test]
async fn the_history_may_appear_later() {
    let folder = Folder::new("later");
    let mut backlog = folder.backlog().unwrap();
    assert_eq!(send(&mut backlog), [""; 0]);
    backlog.save().await.unwrap();
    folder.write(1, &[heard(1)]);
    assert_eq!(send(&mut backlog).len(), 2);
}

#[test]
fn a_damaged_cursor_file_is_an_error_that_names_it() {
    let folder = Folder::new("damaged");
    for text in ["", "{}", "{\"cursor\":\"x\",\"agents\":[]}"] {
        fs::write(folder.0.join("cursor"), text).unwrap();
        let why = folder.backlog().unwrap_err();
        assert!(why.contains("cursor") && why.contains("without it, all"), "{why}");
    }
}

#[test]
fn a_history_of_a_newer_version_waits_for_a_newer_relay() {
    let folder = Folder::new("newer");
    folder.write(1, &[heard(1)]);
    folder.write(2, &[heard(2)]);
    let mut segments: Vec<_> = fs::read_dir(folder.0.join("history")).unwrap().collect();
    segments.sort_by_key(|it| it.as_ref().unwrap().file_name());
    let last = segments.pop().unwrap().unwrap().path();
    let bytes = fs::read(&last).unwrap();
    // The version follows the magic of 16 bytes.
    let mut newer = bytes.clone();
    newer[16] = 99;
    fs::write(&last, newer).unwrap();
    let mut backlog = folder.backlog().unwrap();
    assert_eq!(send(&mut backlog).len(), 2, "of the first run");
    let why = backlog.unreadable.clone().unwrap();
    assert!(why.contains("install the new one"), "{why}");
    fs::write(&last, bytes).unwrap();
    assert_eq!(send(&mut backlog).len(), 3, "of the second run");
    assert_eq!(backlog.unreadable, None);
}
