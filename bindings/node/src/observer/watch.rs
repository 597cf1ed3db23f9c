//! The thread that receives datagrams. JavaScript may be busy, and the kernel queues only ten
//! datagrams and refuses the rest, so they must be received in another thread.

use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use varta_observer::{Event, Observer};

use super::backlog::Backlog;
use super::fair::Fair;
use crate::failure::{Failure, closed, from_io, named};
use crate::record;
use crate::sys::{Bell, Waker, wait};

/// How many events are fetched while the observer is locked.
const BATCH: usize = 64;

/// An observer and the thread that polls it, until both are closed.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The state that the thread shares with JavaScript.
#[derive(Debug)]
struct Shared {
    observer: Fair<Option<Observer>>,
    backlog: Mutex<Backlog>,
    /// Why the thread has ended, until that is reported to JavaScript.
    failure: Mutex<Option<Failed>>,
    waker: Waker,
    bell: Bell,
    stop: AtomicBool,
    /// Whether the thread waits for room in the backlog.
    full: AtomicBool,
}

#[derive(Debug)]
enum Failed {
    Io(io::Error),
    Panicked,
}

impl Watch {
    /// Starts the thread. The bell rings when there are events to take.
    pub(super) fn start(observer: Observer, bell: Bell, half: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            observer: Fair::new(Some(observer)),
            backlog: Mutex::new(Backlog::new(half.max(BATCH))),
            failure: Mutex::new(None),
            waker: Waker::new()?,
            bell,
            stop: AtomicBool::new(false),
            full: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("varta-observer".to_owned())
            .spawn(move || for_thread.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.shared.bell
    }

    /// Writes the oldest events and returns their number. If the thread has failed and no events
    /// are left, returns its error, once.
    pub(super) fn take(&self, room: &mut [u64]) -> Result<u32, Failure> {
        self.shared.bell.answered();
        let mut backlog = lock(&self.shared.backlog);
        let taken = record::write(backlog.take(room.len() / record::WORDS), room);
        backlog.shrink();
        let drained = backlog.is_empty();
        drop(backlog);
        if self.shared.full.swap(false, Ordering::AcqRel) {
            self.shared.waker.wake();
        }
        if taken == 0 && drained {
            match lock(&self.shared.failure).take() {
                Some(Failed::Io(error)) => return Err(from_io(&error)),
                Some(Failed::Panicked) => {
                    return Err(named("GenericFailure", "the observer's thread panicked"));
                }
                None => {}
            }
        }
        Ok(taken)
    }

    /// How many events were skipped.
    pub(super) fn skipped(&self) -> u64 {
        lock(&self.shared.backlog).skipped()
    }

    /// Calls a function with the observer between two polls.
    pub(super) fn with<R>(
        &self,
        call: impl FnOnce(&mut Observer) -> io::Result<R>,
    ) -> Result<R, Failure> {
        let mut observer = self.shared.observer.lock();
        let observer = observer.as_mut().ok_or_else(closed)?;
        let result = call(observer).map_err(|error| from_io(&error));
        // The call may have moved the next deadline forward. This sets the timer that wakes
        // the thread.
        let _ = observer.as_raw_fd();
        result
    }

    /// Ends the thread, then closes the observer. A second call has no effect.
    pub(super) fn close(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.waker.wake();
        if let Some(thread) = lock(&self.thread).take() {
            // The thread catches and reports its own panics.
            let _ = thread.join();
        }
        drop(self.shared.observer.lock().take());
        // The thread has ended, so nothing rings the bell any more.
        self.shared.bell.release();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn run(&self) {
        let failed = match catch_unwind(AssertUnwindSafe(|| self.watch())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => Failed::Io(error),
            Err(_) => Failed::Panicked,
        };
        *lock(&self.failure) = Some(failed);
        self.bell.ring();
    }

    fn watch(&self) -> io::Result<()> {
        #[cfg(feature = "provoke")]
        crate::exported::provoke("thread");
        let mut events = [Event::NOTHING; BATCH];
        while !self.stop.load(Ordering::Acquire) {
            if lock(&self.backlog).is_full(BATCH) {
                self.wait_for_room()?;
                continue;
            }
            let mut observer = self.observer.lock();
            let Some(open) = observer.as_mut() else { return Ok(()) };
            let count = open.poll_many(&mut events, Duration::ZERO)?;
            let descriptor = open.as_raw_fd();
            if count == 0 {
                drop(observer);
                wait(Some(descriptor), &self.waker)?;
                continue;
            }
            let found = events.get(..count).unwrap_or_default();
            lock(&self.backlog).extend(found, open)?;
            drop(observer);
            self.bell.ring();
        }
        Ok(())
    }

    /// The observer is late afterwards, and reports that by itself.
    fn wait_for_room(&self) -> io::Result<()> {
        self.full.store(true, Ordering::Release);
        if lock(&self.backlog).is_full(BATCH) {
            wait(None, &self.waker)?;
        }
        Ok(())
    }
}

/// The data is valid after a panic, because no operation under these locks panics halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
