//! What the observer does for the lane in its event loop.

use varta::internal::lane::message::Hello;

use super::connections::{Place, Stage};
use super::{Lanes, Step, UNTIL_EXIT_NS};
use crate::io::Observer;
use crate::judge::{Attaching, PageIndex, Refusal};
use crate::names::Label;

/// This many pages are looked at before a silence that has become due meanwhile is reported. A look
/// takes about a microsecond when the page was written on another CPU.
const LOOKS: u32 = 32;

impl Observer {
    /// Serves the next connection, or looks at the pages that are due. Returns whether there
    /// was something to do; if so, there may be events.
    pub(in crate::io) fn serve_lane(&mut self) -> bool {
        let now = self.now;
        if self.must_hear_first() {
            return false;
        }
        let Some(step) = self.processes.next_lane_step(now) else { return self.sweep() };
        match step {
            Step::Hello(place, hello) => self.attach(place, &hello),
            Step::Mapped(page) => {
                self.judge.mapped(now, page);
                self.look(page);
            }
            Step::Look(page) => self.look(page),
            Step::Rang(place, page) => self.answer_bell(place, page),
            Step::Muted(page, has_exited) => {
                self.judge.muted();
                if self.judge.rung(now, page) || has_exited {
                    self.look(page);
                }
            }
            Step::Ended(place) => self.connection_ended(place),
            Step::Malformed(place) => {
                self.judge.bad_message();
                self.close_connection(place);
            }
            Step::Close(place) => self.close_unless_exiting(place),
            Step::Failed(error) => {
                self.judge.io(now, error.raw_os_error().unwrap_or_default());
            }
            Step::Done => {}
        }
        true
    }

    /// Whether there may be datagrams of the process whose connection is served next, from before
    /// it mapped its page. Its first line counts them, if they have not been heard.
    fn must_hear_first(&mut self) -> bool {
        let maps = self.processes.lanes().is_some_and(Lanes::is_next_to_map);
        let heard = self.sockets.read_until().is_none_or(|until| until >= self.checked_at);
        if maps && !heard {
            self.sockets.look_again(self.checked_at);
        }
        maps && !heard
    }

    /// Looks at the pages that are due until there is an event, or a silence to report.
    fn sweep(&mut self) -> bool {
        let mut looked = false;
        while !self.judge.has_events() && !self.must_report_first() {
            let Some(page) = self.judge.due_page(self.now) else { break };
            self.look(page);
            self.looks_left -= 1;
            looked = true;
        }
        looked
    }

    /// Whether a silence became due while many pages were looked at.
    fn must_report_first(&mut self) -> bool {
        if self.looks_left > 0 {
            return false;
        }
        let now = self.clock.now();
        if self.judge.next_deadline().is_some_and(|due| due <= now) {
            return true;
        }
        self.looks_left = LOOKS;
        false
    }

    /// Looks at a page whose process has rung, unless that has rung too often.
    fn answer_bell(&mut self, place: Place, page: PageIndex) {
        if self.judge.rung(self.now, page) {
            return self.look(page);
        }
        self.judge.muted();
        self.processes.mute(place);
    }

    fn look(&mut self, page: PageIndex) {
        self.processes.look_for(page);
        self.judge.look(self.now, page, &mut self.processes);
        self.processes.heard();
    }

    fn attach(&mut self, place: Place, hello: &Hello) {
        let now = self.now;
        let Some(lanes) = self.processes.lanes() else { return };
        let Some((peer, uid)) = lanes.peer_and_user(place) else { return };
        let clock_offset = lanes.clock_offset(place, now, hello.monotonic_ns);
        // For a connection that is refused it does not matter which process made it.
        let process = match self.judge.admits(uid) {
            true => self.processes.connected_by(now, place),
            false => None,
        };
        let attaching = Attaching {
            pid: peer.pid(),
            uid,
            process,
            claimed_pid: hello.pid,
            nonce: hello.nonce,
            clock_offset,
        };
        let attached = self.judge.attach(now, &attaching, &mut self.processes);
        let Some(lanes) = self.processes.lanes_mut() else { return };
        lanes.set_name(place, Label::new(&hello.name));
        let refused = match &attached {
            Ok(attached) => lanes.offer(place, attached, clock_offset, now).err(),
            Err(refusal) => Some(*refusal),
        };
        let Some(Refusal { errno, reason }) = refused else {
            self.prepare_page();
            return self.processes.heard();
        };
        lanes.refuse(place, errno, reason);
        self.processes.heard();
        self.processes.close_connection(place);
        if let Ok(attached) = attached {
            self.judge.detached(now, attached.page, &mut self.processes);
        }
    }

    /// Makes the page that the next process gets, while the one that has just got its page maps that:
    /// no process waits for it then.
    pub(in crate::io) fn prepare_page(&mut self) {
        if let Some(lanes) = self.processes.lanes_mut() {
            lanes.prepare(self.judge.next_page());
        }
    }

    fn connection_ended(&mut self, place: Place) {
        let Some(lanes) = self.processes.lanes() else { return };
        let stage = lanes.stage(place);
        let (Some(Stage::Open | Stage::Muted), Some(page)) = (stage, lanes.page_of(place))
        else {
            return self.close_connection(place);
        };
        let until = self.now.saturating_add(UNTIL_EXIT_NS);
        self.processes.end_connection(place, until);
        self.look(page);
        self.processes.await_exit(place);
    }

    /// Closes a connection whose stage has lasted for long enough. If its process has exited,
    /// its exit will be reported, and then the connection is closed.
    fn close_unless_exiting(&mut self, place: Place) {
        if self.processes.is_exiting(place) {
            let until = self.now.saturating_add(UNTIL_EXIT_NS);
            if let Some(lanes) = self.processes.lanes_mut() {
                lanes.postpone(place, until);
            }
        } else {
            self.close_connection(place);
        }
    }

    fn close_connection(&mut self, place: Place) {
        let page = self.processes.lanes().and_then(|lanes| lanes.page_of(place));
        if let Some(page) = page {
            self.processes.look_for(page);
            self.judge.detached(self.now, page, &mut self.processes);
            self.processes.heard();
        }
        self.processes.close_connection(place);
        // If all pages were in use, this one is the next.
        self.prepare_page();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;
    use std::time::Duration;

    use varta::{Frame, Status};

    use super::LOOKS;
    use crate::builder::Builder;
    use crate::event::Event;
    use crate::io::Observer;
    use crate::io::clock::looks;
    use crate::judge::Attaching;
    use crate::sys;
    use crate::testing::Folder;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    /// All pages are looked at once in half of it.
    const THRESHOLD: u64 = 7_200 * SECOND;
    /// Few enough for a low limit of open files.
    const PAGES: u32 = 5 * LOOKS;

    fn observer_with_pages(path: &Path, uid: u32) -> Observer {
        let builder = Builder::new().listen(path.to_str().unwrap().parse().unwrap());
        let threshold = Duration::from_nanos(THRESHOLD);
        // Between two polls the clock jumps, which must not look like a pause.
        let builder = builder.threshold(threshold).pause_after(2 * threshold);
        let mut observer = builder.lane(true).bind().unwrap();
        for pid in (1 << 30..).take(PAGES as usize) {
            let (process, claimed_pid) = (None, pid);
            let attaching =
                Attaching { pid, uid, process, claimed_pid, nonce: 0, clock_offset: 0 };
            let page =
                observer.judge.attach(0, &attaching, &mut observer.processes).unwrap().page;
            let lanes = observer.processes.lanes_mut().unwrap();
            lanes.pages.map(page.index(), sys::page_file().unwrap().as_fd()).unwrap();
            observer.judge.mapped(0, page);
        }
        observer
    }

    /// The clock advances whenever it is read, and at no other time.
    #[test]
    fn a_silence_that_becomes_due_in_a_long_sweep_is_reported_before_the_sweep_ends() {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let uid = fs::metadata(folder.path()).unwrap().uid();
        let mut observer = observer_with_pages(&path, uid);
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(&path).unwrap();
        let mut frame = [0; 32];
        Frame::new(Status::Ok, std::process::id(), 0, 1, 0).encode(&mut frame);
        socket.send(&frame).unwrap();
        let poll = |observer: &mut Observer, now| -> Option<Event> {
            looks::simulate(now, MS, || observer.poll_timeout(Duration::ZERO).unwrap())
        };
        let beat = poll(&mut observer, 600 * SECOND).unwrap();
        assert_eq!(beat.what.name(), "beat");
        let due = beat.observer_ns + THRESHOLD;
        let event = poll(&mut observer, due - 3 * MS).unwrap();
        assert_eq!(event.what.name(), "stall");
        let looks = observer.stats().unwrap().lane_looks;
        assert!(looks > 0 && looks < PAGES.into(), "{looks} looks");
        assert_eq!(poll(&mut observer, due + SECOND), None);
        assert_eq!(observer.stats().unwrap().lane_looks, PAGES.into());
    }
}
