//! The clocks, and a timer on the clock that includes suspend.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::{checked, new_fd};

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since boot, including suspend.
#[inline]
pub(crate) fn boottime_ns() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// Nanoseconds since boot, excluding suspend.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The CPU time of this thread, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` may be written. With these clocks and a valid pointer the call cannot
    // fail.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    let (seconds, nanoseconds) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    seconds.wrapping_mul(SECOND).wrapping_add(nanoseconds)
}

/// The time for which all threads of a process have run, in nanoseconds. `None` if there is no
/// such process. Needs no permission.
pub(crate) fn process_cpu_ns(pid: u32) -> Option<u64> {
    // As in the kernel's `make_process_cpuclock(pid, CPUCLOCK_SCHED)`.
    const SCHED: libc::clockid_t = 2;
    let clock = (!libc::clockid_t::try_from(pid).ok()?).checked_mul(8)? | SCHED;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` may be written.
    checked(unsafe { libc::clock_gettime(clock, &raw mut now) }).ok()?;
    let (seconds, nanoseconds) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    Some(seconds.wrapping_mul(SECOND).wrapping_add(nanoseconds))
}

/// A descriptor that becomes readable at a time.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: OwnedFd,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes numbers alone.
        let answer = unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) };
        // SAFETY: made just now.
        unsafe { new_fd(answer) }.map(|fd| Self { fd })
    }

    /// Makes it readable once [`boottime_ns`] reaches this time, at once if it already has.
    /// Replaces the time that was set before.
    pub(crate) fn arm(&self, at_ns: u64) -> io::Result<()> {
        // A time of zero would disarm it; every real time is past that anyway.
        self.set(at_ns.max(1))
    }

    /// Makes it unreadable and clears the time.
    pub(crate) fn disarm(&self) -> io::Result<()> {
        self.set(0)
    }

    fn set(&self, at_ns: u64) -> io::Result<()> {
        // SAFETY: numbers, all of which may be zero.
        let mut when: libc::itimerspec = unsafe { mem::zeroed() };
        when.it_value.tv_sec = (at_ns / SECOND).try_into().unwrap_or(libc::time_t::MAX);
        when.it_value.tv_nsec = (at_ns % SECOND).try_into().unwrap_or(0);
        // SAFETY: reads `when`. The pointer to the previous value is null.
        checked(unsafe {
            libc::timerfd_settime(
                self.fd.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const when,
                ptr::null_mut(),
            )
        })?;
        Ok(())
    }

    /// Makes it unreadable until it is armed again.
    pub(crate) fn drain(&self) {
        let mut expirations = [0_u8; 8];
        // SAFETY: pointer and length are those of a live array of ours. When nothing has
        // expired it fails at once, which is as good.
        unsafe {
            libc::read(self.fd.as_raw_fd(), expirations.as_mut_ptr().cast(), expirations.len())
        };
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::{Epoll, Interest, Ready};

    #[test]
    fn a_timer_is_readable_from_its_time_until_it_is_drained() {
        let (timer, epoll) = (Timer::new().unwrap(), Epoll::new().unwrap());
        let mut ready = Ready::new();
        epoll.add(timer.as_fd(), 1, Interest::Readable).unwrap();
        let mut is_readable = |timeout| epoll.wait(&mut ready, timeout).unwrap() == 1;
        let now = Some(Duration::ZERO);

        assert!(!is_readable(now), "it is not armed");
        let at = boottime_ns() + 20_000_000;
        timer.arm(at).unwrap();
        assert!(is_readable(None));
        assert!(boottime_ns() >= at);
        assert!(is_readable(now), "until it is drained");
        timer.drain();
        assert!(!is_readable(now));
        timer.drain();

        // Times in the past, and 0.
        for at in [at, 1, 0] {
            timer.arm(at).unwrap();
            assert!(is_readable(None));
            timer.disarm().unwrap();
            assert!(!is_readable(now));
        }
        timer.arm(u64::MAX).unwrap();
        assert!(!is_readable(now));
        timer.arm(boottime_ns()).unwrap();
        assert!(is_readable(None), "the later arming counts");
    }

    #[test]
    fn the_cpu_clock_of_a_process_advances_while_it_runs() {
        let own = || process_cpu_ns(std::process::id()).unwrap();
        let before = own();
        while own() < before + 2_000_000 {}
        let idle = crate::testing::Idle::start();
        assert!(process_cpu_ns(idle.pid()).is_some());
        assert_eq!(process_cpu_ns(u32::MAX), None);
        assert_eq!(process_cpu_ns(u32::MAX / 2), None, "no pid is that large");
    }

    #[test]
    fn both_clocks_advance_together() {
        let apart = || {
            let monotonic = monotonic_ns();
            boottime_ns().checked_sub(monotonic).unwrap()
        };
        let before = apart();
        let start = (boottime_ns(), monotonic_ns());
        std::thread::sleep(Duration::from_millis(2));
        assert!(boottime_ns() >= start.0 + 2_000_000 && monotonic_ns() >= start.1 + 2_000_000);
        // They would drift apart if they differed by more than the time suspended.
        assert!(apart().abs_diff(before) < 10_000_000_000);
    }
}
