//! The atomic word that lines are made of.
//!
//! In this crate's own tests each access can hand over to another thread, so that a test
//! can run the code of the lane in every order of its accesses.

#[cfg(not(test))]
pub(crate) use std::sync::atomic::AtomicU64;
#[cfg(test)]
pub(crate) use stepped::AtomicU64;

#[cfg(test)]
mod stepped {
    use std::sync::atomic::{self, Ordering};

    use crate::lane::model::step;

    /// As the one of the standard library.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct AtomicU64(atomic::AtomicU64);

    impl AtomicU64 {
        pub const fn new(value: u64) -> Self {
            Self(atomic::AtomicU64::new(value))
        }

        pub fn load(&self, order: Ordering) -> u64 {
            step(self);
            self.0.load(order)
        }

        pub fn store(&self, value: u64, order: Ordering) {
            step(self);
            self.0.store(value, order);
        }

        pub fn swap(&self, value: u64, order: Ordering) -> u64 {
            step(self);
            self.0.swap(value, order)
        }

        pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
            step(self);
            self.0.fetch_add(value, order)
        }

        pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
            step(self);
            self.0.fetch_or(value, order)
        }

        pub fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
            step(self);
            self.0.fetch_and(value, order)
        }

        pub fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            step(self);
            self.0.compare_exchange(current, new, success, failure)
        }
    }
}
