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
        looks::tell();
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

/// Lets a test have something happen at each look at the clock, which is before each read.
#[cfg(test)]
pub(crate) mod looks {
    use std::cell::RefCell;

    type Happening = Box<dyn FnMut()>;

    thread_local! {
        static AT_EACH: RefCell<Option<Happening>> = const { RefCell::new(None) };
    }

    /// On this thread, while something runs.
    pub(crate) fn at_each(happening: impl FnMut() + 'static, run: impl FnOnce()) {
        AT_EACH.set(Some(Box::new(happening)));
        run();
        AT_EACH.take();
    }

    pub(super) fn tell() {
        if let Some(mut happening) = AT_EACH.take() {
            happening();
            AT_EACH.set(Some(happening));
        }
    }
}
