//! The atomic word that lines are made of.
//!
//! In this crate's own tests each access can hand over to another thread, so that a test
//! can run the code of the lane in every order of its accesses.

#[cfg(not(test))]
pub(crate) use std::sync::atomic::AtomicU64;
#[cfg(test)]
pub(crate) use stepped::{AtomicU64, Delayed, barrier};

#[cfg(not(test))]
pub(crate) use crate::sys::barrier::barrier;

#[cfg(test)]
#[allow(unsafe_code, reason = "stores that become visible later")]
mod stepped {
    use std::sync::atomic::{self, Ordering};

    use crate::lane::model::{delay, delayed, drain, drain_all, step};
    use crate::sys;

    /// As the one of the standard library.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct AtomicU64(atomic::AtomicU64);

    /// A store that other threads do not see yet.
    pub(crate) struct Delayed {
        pub(crate) word: *const AtomicU64,
        pub(crate) value: u64,
    }

    // SAFETY: the word outlives the threads of a model, and is atomic.
    unsafe impl Send for Delayed {}

    impl Delayed {
        pub(crate) fn make(&self) {
            // SAFETY: as above.
            let word = unsafe { &*self.word };
            word.0.store(self.value, Ordering::SeqCst);
        }
    }

    impl AtomicU64 {
        pub const fn new(value: u64) -> Self {
            Self(atomic::AtomicU64::new(value))
        }

        pub fn load(&self, order: Ordering) -> u64 {
            step(self);
            delayed(self).unwrap_or_else(|| self.0.load(order))
        }

        pub fn store(&self, value: u64, order: Ordering) {
            step(self);
            if order == Ordering::SeqCst {
                drain();
            } else if delay(Delayed { word: self, value }) {
                return;
            }
            self.0.store(value, order);
        }

        pub fn swap(&self, value: u64, order: Ordering) -> u64 {
            self.alone().swap(value, order)
        }

        pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
            self.alone().fetch_add(value, order)
        }

        pub fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
            self.alone().fetch_sub(value, order)
        }

        pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
            self.alone().fetch_or(value, order)
        }

        pub fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
            self.alone().fetch_and(value, order)
        }

        pub fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.alone().compare_exchange(current, new, success, failure)
        }

        /// The word for a locked instruction, before which all stores of the thread are made.
        fn alone(&self) -> &atomic::AtomicU64 {
            step(self);
            drain();
            &self.0
        }
    }

    /// A barrier for the threads of a model too.
    pub(crate) fn barrier() -> bool {
        drain_all();
        sys::barrier::barrier()
    }
}
