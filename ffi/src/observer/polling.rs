//! What an observer has to say, and how to wait for it.

use std::ffi::{c_char, c_int};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ::varta_observer::{Event, Observer};

use super::{Watcher, varta_observer, with};
use crate::args::{self, Words};
use crate::errors::Failure;
use crate::event::varta_event;
use crate::guard::{self, Code};

/// How long to wait, as poll(2) has it.
fn timeout(ms: c_int) -> Result<Duration, Failure> {
    match u64::try_from(ms) {
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(_) if ms == -1 => Ok(Duration::MAX),
        Err(_) => Err(Failure::INVALID),
    }
}

/// Says the next event.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// ret: where the event is written, if there is one.
/// timeout_ms: how long to wait for one: 0 does not wait, -1 waits for ever. A simulated
///     observer never waits.
///
/// Returns 1: an event; 0: none within the timeout; or
///     -EINVAL        a pointer is NULL, or the timeout is less than -1
///     -EINTR         a signal ended the wait
///     -EBUSY         another call is on this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   a bug was contained; the observer can only be closed
///     and others of epoll_wait(2)
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_poll(
    obs: *mut varta_observer,
    ret: *mut varta_event,
    timeout_ms: c_int,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        let timeout = timeout(timeout_ms)?;
        let poll = |watcher: &mut Watcher| {
            let event = match watcher {
                Watcher::Bound(observer) => observer.poll_interruptible(timeout)?,
                Watcher::Simulated(observer) => observer.poll(),
            };
            let Some(event) = event else { return Ok(0) };
            // SAFETY: there is room, as was checked.
            unsafe { args::write(ret, varta_event::from(&event)) };
            Ok(1)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, poll) }
    })
}

/// Says several events at once, waiting only for the first.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// ret: where the events are written.
/// cap: how many there is room for; 0 is -EINVAL.
/// timeout_ms: as for varta_observer_poll.
///
/// Returns how many events were written; 0: none within the timeout; or what
/// varta_observer_poll returns.
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_poll_many(
    obs: *mut varta_observer,
    ret: *mut varta_event,
    cap: usize,
    timeout_ms: c_int,
) -> Code {
    guard::answer(|| {
        let mut room = EventRoom { next: args::room(ret)?, left: cap, filled: 0 };
        if cap == 0 {
            return Err(Failure::INVALID);
        }
        let timeout = timeout(timeout_ms)?;
        let poll = |watcher: &mut Watcher| {
            match watcher {
                Watcher::Bound(observer) => fill(&mut room, observer, timeout)?,
                Watcher::Simulated(observer) => {
                    while room.left > 0 {
                        let Some(event) = observer.poll() else { break };
                        room.push(&event);
                    }
                }
            }
            Ok(room.filled)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, poll) }
    })
}

/// Room of the caller's for events. It has at least `left` more.
struct EventRoom {
    next: *mut varta_event,
    left: usize,
    filled: c_int,
}

impl EventRoom {
    /// Takes an event in; more than there is room for, or than can be told, is lost, so the
    /// caller looks at `left` first.
    fn push(&mut self, event: &Event) {
        debug_assert!(self.left > 0);
        // SAFETY: there is room for at least one more.
        unsafe { args::write(self.next, varta_event::from(event)) };
        // SAFETY: at most the end of the room.
        self.next = unsafe { self.next.add(1) };
        self.filled += 1;
        self.left = if self.filled == c_int::MAX { 0 } else { self.left - 1 };
    }
}

fn fill(
    room: &mut EventRoom,
    observer: &mut Observer,
    timeout: Duration,
) -> Result<(), Failure> {
    const AT_ONCE: usize = 32;
    let Some(first) = observer.poll_interruptible(timeout)? else { return Ok(()) };
    room.push(&first);
    let mut events = [Event::NOTHING; AT_ONCE];
    while room.left > 0 {
        let wanted = room.left.min(AT_ONCE);
        let Some(events) = events.get_mut(..wanted) else { break };
        // What fails now fails again in the next call, which has no events to lose.
        let Ok(count) = observer.poll_many(events, Duration::ZERO) else { break };
        events.iter().take(count).for_each(|event| room.push(event));
        if count < wanted {
            break;
        }
    }
    Ok(())
}

/// A descriptor to wait for in a loop of the caller's own, with poll, epoll or anything built
/// on them. It is readable, level-triggered, whenever varta_observer_poll has something to
/// say, a stall included: then poll with a timeout of 0 until it returns 0.
///
/// obs: from varta_observer_bind.
///
/// Returns the descriptor, which belongs to the observer and is closed with it; or
///     -EINVAL        obs is NULL
///     -EBUSY         another call is on this observer
///     -ECHILD        the observer belongs to the parent of this process
///     -EOPNOTSUPP    it is a simulated one
///     VARTA_EPANIC   a bug was contained; the observer can only be closed
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_fd(obs: *mut varta_observer) -> Code {
    guard::answer(|| {
        let fd = |watcher: &mut Watcher| {
            let observer = watcher.bound()?;
            // It is an error in a forked child, which the descriptor alone is not.
            observer.stats()?;
            Ok(observer.as_raw_fd())
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, fd) }
    })
}

/// When varta_observer_poll has something to say though nothing arrives, for a loop that
/// waits for sockets and has a timeout, as poll(2) has. Whoever asks is expected to poll by
/// then: coming later counts as a pause of the observer.
///
/// obs: from varta_observer_bind.
///
/// Returns milliseconds from now, rounded up; 0: now; INT_MAX: as long as you like, for
/// nobody is followed; or what varta_observer_fd returns.
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_timeout_ms(obs: *mut varta_observer) -> Code {
    guard::answer(|| {
        let ask = |watcher: &mut Watcher| {
            let Some(deadline) = watcher.bound()?.next_deadline()? else {
                return Ok(c_int::MAX);
            };
            let ms = deadline.as_nanos().div_ceil(1_000_000);
            Ok(c_int::try_from(ms).unwrap_or(c_int::MAX))
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, ask) }
    })
}

/// What the operator should know, in a sentence: that the kernel's queue is short for so many
/// agents.
///
/// obs: from varta_observer_bind.
/// ret: where the sentence is written, as far as it fits, with a NUL behind it.
/// cap: the bytes that ret leads to; 0 is -EINVAL.
///
/// Returns the length of the whole sentence without the NUL; 0: there is nothing to say, and
/// ret is an empty text; or what varta_observer_fd returns.
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_advice(
    obs: *mut varta_observer,
    ret: *mut c_char,
    cap: usize,
) -> Code {
    guard::answer(|| {
        let words = Words { to: args::room(ret)?, size: cap };
        if cap == 0 {
            return Err(Failure::INVALID);
        }
        let ask = |watcher: &mut Watcher| {
            let observer = watcher.bound()?;
            observer.stats()?;
            let advice = observer.advice().unwrap_or_default();
            // SAFETY: the caller gave so much room.
            unsafe { words.say(&advice) };
            Ok(c_int::try_from(advice.len()).unwrap_or(c_int::MAX))
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, ask) }
    })
}
