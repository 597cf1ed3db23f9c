//! How to wait for an observer's events and read them.

use std::ffi::{c_char, c_int};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ::varta_observer::{Event, Observer};

use super::waking::Waker;
use super::{Answer, AnyObserver, ObserverHandle, varta_observer, with, with_text};
use crate::args;
use crate::errors::Failure;
use crate::event::varta_event;
use crate::guard::{self, Code};

/// Converts a timeout as poll(2) takes it.
fn timeout(ms: c_int) -> Result<Duration, Failure> {
    match u64::try_from(ms) {
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(_) if ms == -1 => Ok(Duration::MAX),
        Err(_) => Err(Failure::INVALID),
    }
}

/// Returns the next event.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// ret: receives the event, if there is one.
/// timeout_ms: how long to wait for an event: 0 does not wait, -1 waits without limit. A
///     simulated observer never waits.
///
/// Returns 1 if there is an event, 0 if there was none within the timeout; or
///     -EINVAL        a pointer is NULL, or the timeout is less than -1
///     -EINTR         a signal or varta_observer_wake interrupted the wait
///     -EBUSY         another call is using this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
///     or another error from epoll_wait(2)
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_poll(
    obs: *mut varta_observer,
    ret: *mut varta_event,
    timeout_ms: c_int,
) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
        let timeout = timeout(timeout_ms)?;
        // SAFETY: the caller gave an open handle or NULL.
        let waker = unsafe { ObserverHandle::beside(obs.cast()) }?.as_ref();
        let poll = |observer: &mut AnyObserver| {
            let event = match observer {
                AnyObserver::Bound(observer) => next(observer, waker, timeout)?,
                AnyObserver::Simulated(observer) => observer.poll(),
            };
            let Some(event) = event else { return Ok(0) };
            // SAFETY: ret is not NULL, as checked above.
            unsafe { args::write(ret, varta_event::from(&event)) };
            Ok(1)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, poll) }
    })
}

/// The next event, or a failure if a signal or varta_observer_wake ended the wait.
fn next(
    observer: &mut Observer,
    waker: Option<&Waker>,
    timeout: Duration,
) -> Result<Option<Event>, Failure> {
    let check = |observer: &mut Observer| match observer.take_woken()
        && waker.is_some_and(Waker::take)
    {
        true => Err(Failure::errno(libc::EINTR)),
        false => Ok(()),
    };
    check(observer)?;
    let event = observer.poll_interruptible(timeout)?;
    if event.is_none() {
        check(observer)?;
    }
    Ok(event)
}

/// Returns several events at once, waiting only for the first.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// ret: an array that receives the events.
/// cap: the number of elements in the array; 0 is -EINVAL.
/// timeout_ms: as for varta_observer_poll.
///
/// Returns the number of events written, 0 if there was none within the timeout, or an error of
/// varta_observer_poll.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_poll_many(
    obs: *mut varta_observer,
    ret: *mut varta_event,
    cap: usize,
    timeout_ms: c_int,
) -> Code {
    guard::answer(|| {
        let mut output = EventArray { next: args::not_null(ret)?, left: cap, filled: 0 };
        if cap == 0 {
            return Err(Failure::INVALID);
        }
        let timeout = timeout(timeout_ms)?;
        // SAFETY: the caller gave an open handle or NULL.
        let waker = unsafe { ObserverHandle::beside(obs.cast()) }?.as_ref();
        let poll = |observer: &mut AnyObserver| {
            match observer {
                AnyObserver::Bound(observer) => fill(&mut output, observer, waker, timeout)?,
                AnyObserver::Simulated(observer) => {
                    while output.left > 0 {
                        let Some(event) = observer.poll() else { break };
                        output.push(&event);
                    }
                }
            }
            Ok(output.filled)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, poll) }
    })
}

/// The caller's array of events, with `left` free elements.
struct EventArray {
    next: *mut varta_event,
    left: usize,
    filled: c_int,
}

impl EventArray {
    /// Writes an event to the next element. The caller checks `left` first. `left` also becomes
    /// 0 when `filled`, the return value, cannot grow any more.
    fn push(&mut self, event: &Event) {
        debug_assert!(self.left > 0);
        // SAFETY: at least one element is free.
        unsafe { args::write(self.next, varta_event::from(event)) };
        // SAFETY: at most the end of the array.
        self.next = unsafe { self.next.add(1) };
        self.filled += 1;
        self.left = if self.filled == c_int::MAX { 0 } else { self.left - 1 };
    }
}

fn fill(
    output: &mut EventArray,
    observer: &mut Observer,
    waker: Option<&Waker>,
    timeout: Duration,
) -> Result<(), Failure> {
    const AT_ONCE: usize = 32;
    let Some(first) = next(observer, waker, timeout)? else { return Ok(()) };
    output.push(&first);
    let mut events = [Event::NOTHING; AT_ONCE];
    while output.left > 0 {
        let wanted = output.left.min(AT_ONCE);
        let Some(events) = events.get_mut(..wanted) else { break };
        // An error here will recur in the next call, which then has no events to lose.
        let Ok(count) = observer.poll_more(events) else { break };
        events.iter().take(count).for_each(|event| output.push(event));
        if count < wanted {
            break;
        }
    }
    Ok(())
}

/// Returns a file descriptor to wait for in the caller's event loop, with poll, epoll or anything
/// built on them. It is readable (level-triggered) whenever varta_observer_poll has an event,
/// including a stall. Then call varta_observer_poll with a timeout of 0 until it returns 0.
///
/// obs: from varta_observer_bind.
///
/// Returns the descriptor, which belongs to the observer and is closed with it; or
///     -EINVAL        obs is NULL
///     -EBUSY         another call is using this observer
///     -ECHILD        the observer belongs to the parent of this process
///     -EOPNOTSUPP    obs is a simulated observer
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_fd(obs: *mut varta_observer) -> Code {
    guard::answer(|| {
        let fd = |observer: &mut AnyObserver| {
            let observer = observer.bound()?;
            // stats fails in a forked child, where the descriptor must not be used.
            observer.stats()?;
            Ok(observer.as_raw_fd())
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, fd) }
    })
}

/// Returns how long an event loop may wait before it must call varta_observer_poll again even if
/// no datagram arrives. It is for loops that wait with a timeout, as poll(2) does. A call after
/// that time counts as a pause of the observer.
///
/// obs: from varta_observer_bind.
///
/// Returns milliseconds from now, rounded up; 0 if an event is due; INT_MAX if there is no limit
/// because the observer follows no agent; or an error of varta_observer_fd.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_timeout_ms(obs: *mut varta_observer) -> Code {
    guard::answer(|| {
        let ask = |observer: &mut AnyObserver| {
            let Some(deadline) = observer.bound()?.next_deadline()? else {
                return Ok(c_int::MAX);
            };
            let ms = deadline.as_nanos().div_ceil(1_000_000);
            Ok(c_int::try_from(ms).unwrap_or(c_int::MAX))
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, ask) }
    })
}

/// Returns advice for the operator, if there is any: for example, that the kernel's queue is too
/// short for this many agents.
///
/// obs: from varta_observer_bind.
/// ret: receives the sentence, NUL-terminated and truncated to fit.
/// cap: the size of ret in bytes; 0 is -EINVAL.
///
/// Returns the length of the whole sentence without the NUL; 0 if there is no advice, and ret is
/// an empty string; or an error of varta_observer_fd.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_advice(
    obs: *mut varta_observer,
    ret: *mut c_char,
    cap: usize,
) -> Code {
    guard::answer(|| {
        let ask = |observer: &mut AnyObserver, answer: &Answer<'_>| {
            let observer = observer.bound()?;
            observer.stats()?;
            Ok(answer(&observer.advice().unwrap_or_default()))
        };
        // SAFETY: the caller gave an open handle or NULL, and a buffer of `cap` bytes or NULL.
        unsafe { with_text(obs, ret, cap, ask) }
    })
}
