//! The observer's own time.

use crate::sys;

/// The observer's time: nanoseconds since it started, including suspend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self { start: sys::boottime_ns() }
    }

    pub(crate) fn now(self) -> u64 {
        #[cfg(test)]
        if let Some(simulated) = looks::tell() {
            return simulated;
        }
        sys::boottime_ns().saturating_sub(self.start)
    }

    /// The same time on the clock that starts at boot.
    pub(crate) const fn since_boot(self, ns: u64) -> u64 {
        self.start.saturating_add(ns)
    }

    /// The time spent suspended since boot.
    pub(crate) fn asleep() -> u64 {
        let apart = || {
            let before = sys::monotonic_ns();
            sys::boottime_ns().saturating_sub(before)
        };
        // A delay between the two readings would look like a suspend.
        apart().min(apart()).min(apart())
    }
}

/// Lets a test have something happen at each look at the clock, which is before each read, or
/// choose what the clock shows.
#[cfg(test)]
pub(crate) mod looks {
    use std::cell::{Cell, RefCell};

    type Happening = Box<dyn FnMut()>;

    thread_local! {
        static AT_EACH: RefCell<Option<Happening>> = const { RefCell::new(None) };
        static SIMULATED: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
    }

    /// On this thread, while something runs, the clock shows `first` at the next look and `step`
    /// more at each further one.
    pub(crate) fn simulate<T>(first: u64, step: u64, run: impl FnOnce() -> T) -> T {
        SIMULATED.set(Some((first, step)));
        let result = run();
        SIMULATED.set(None);
        result
    }

    /// On this thread, while something runs.
    pub(crate) fn at_each(happening: impl FnMut() + 'static, run: impl FnOnce()) {
        AT_EACH.set(Some(Box::new(happening)));
        run();
        AT_EACH.take();
    }

    /// Returns the simulated time, if there is one.
    pub(super) fn tell() -> Option<u64> {
        if let Some(mut happening) = AT_EACH.take() {
            happening();
            AT_EACH.set(Some(happening));
        }
        let (now, step) = SIMULATED.get()?;
        SIMULATED.set(Some((now + step, step)));
        Some(now)
    }
}
