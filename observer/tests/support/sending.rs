//! Processes that send without being told each time, and count what the kernel takes.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Event, Observer};

use super::{Child, frame, hear_all, ms, shared_numbers, wait_until};

/// A process that sends as it is told, until it is told to stop, and counts what was taken.
pub(crate) struct Sending {
    process: Child,
    /// How many were taken, whether to stop, whether it has, and in nanoseconds since
    /// `start` when the last was taken, and the longest time in which none was.
    numbers: &'static [AtomicU64; 5],
    start: Instant,
}

impl Sending {
    pub(crate) fn start<S: FnMut() -> bool>(connect: impl FnOnce() -> S) -> Self {
        let numbers = shared_numbers();
        let [taken, stop, stopped, last, longest] = numbers;
        let start = Instant::now();
        let process = Child::start(|| {
            let mut send = connect();
            while stop.load(SeqCst) == 0 {
                if send() {
                    taken.fetch_add(1, SeqCst);
                    let now = nanoseconds(start.elapsed());
                    longest.fetch_max(now - last.swap(now, SeqCst), SeqCst);
                }
            }
            stopped.store(1, SeqCst);
            wait_until(|| false);
        });
        Self { process, numbers, start }
    }

    /// As fast as it goes, without ever waiting.
    pub(crate) fn flood(path: &Path) -> Self {
        Self::start(|| {
            let socket = UnixDatagram::unbound().unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(path).unwrap();
            let mine = std::process::id();
            let mut nonce = 0;
            move || {
                nonce += 1;
                socket.send(&frame(mine, nonce)).is_ok()
            }
        })
    }

    pub(crate) fn five_times_a_second(path: &Path) -> Self {
        Self::start(|| {
            let mut agent = Varta::connect(path).unwrap();
            move || {
                std::thread::sleep(ms(200));
                agent.beat(Status::Ok, 0) == BeatOutcome::Sent
            }
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn taken(&self) -> u64 {
        self.numbers[0].load(SeqCst)
    }

    /// The longest time in which none of its beats was taken. On a busy machine that is
    /// long, and no observer can help it.
    pub(crate) fn longest(&self) -> Duration {
        let since = nanoseconds(self.start.elapsed()) - self.numbers[3].load(SeqCst);
        Duration::from_nanos(since.max(self.numbers[4].load(SeqCst)))
    }

    pub(crate) fn tell_to_stop(&self) {
        self.numbers[1].store(1, SeqCst);
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.numbers[2].load(SeqCst) == 1
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap()
}

/// Has them stop, and hears the rest of what they sent.
pub(crate) fn stop(observer: &mut Observer, all: &[&Sending]) -> Vec<Event> {
    let mut heard = Vec::new();
    all.iter().for_each(|sending| sending.tell_to_stop());
    wait_until(|| {
        heard.extend(hear_all(observer));
        all.iter().all(|sending| sending.has_stopped())
    });
    heard.extend(hear_all(observer));
    heard
}
