//! Processes that send on their own and count what the kernel accepts.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Event, Observer};

use super::{Child, frame, ms, poll_all, shared_numbers, wait_until};

/// A process that calls a send function until it is asked to stop, and counts the datagrams
/// that were accepted.
pub(crate) struct Sender {
    process: Child,
    /// How many were accepted, whether to stop, whether it has stopped; and in nanoseconds
    /// since `start`: when the last was accepted, and the longest time between two.
    numbers: &'static [AtomicU64; 5],
    start: Instant,
}

impl Sender {
    pub(crate) fn start<S: FnMut() -> bool>(connect: impl FnOnce() -> S) -> Self {
        let numbers = shared_numbers();
        let [accepted, stop, stopped, last, longest] = numbers;
        let start = Instant::now();
        let process = Child::start(|| {
            let mut send = connect();
            while stop.load(SeqCst) == 0 {
                if send() {
                    accepted.fetch_add(1, SeqCst);
                    let now = nanoseconds(start.elapsed());
                    longest.fetch_max(now - last.swap(now, SeqCst), SeqCst);
                }
            }
            stopped.store(1, SeqCst);
            wait_until(|| false);
        });
        Self { process, numbers, start }
    }

    /// Sends as fast as possible, without blocking.
    pub(crate) fn flood(path: &Path) -> Self {
        Self::start(|| {
            let socket = UnixDatagram::unbound().unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(path).unwrap();
            let pid = std::process::id();
            let mut nonce = 0;
            move || {
                nonce += 1;
                socket.send(&frame(pid, nonce)).is_ok()
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

    pub(crate) fn accepted(&self) -> u64 {
        self.numbers[0].load(SeqCst)
    }

    /// The longest time in which none of its beats was accepted. On a busy machine that can be
    /// long, whatever the observer does.
    pub(crate) fn longest(&self) -> Duration {
        let since = nanoseconds(self.start.elapsed()) - self.numbers[3].load(SeqCst);
        Duration::from_nanos(since.max(self.numbers[4].load(SeqCst)))
    }

    pub(crate) fn request_stop(&self) {
        self.numbers[1].store(1, SeqCst);
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.numbers[2].load(SeqCst) == 1
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap()
}

/// Stops the senders and polls the rest of what they sent.
pub(crate) fn stop(observer: &mut Observer, all: &[&Sender]) -> Vec<Event> {
    let mut events = Vec::new();
    all.iter().for_each(|sender| sender.request_stop());
    wait_until(|| {
        events.extend(poll_all(observer));
        all.iter().all(|sender| sender.has_stopped())
    });
    events.extend(poll_all(observer));
    events
}
