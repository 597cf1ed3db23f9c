//! A value whose memory is zeroed when it is dropped.

use std::mem::MaybeUninit;
use std::ops::Deref;

use zeroize::Zeroize;

/// Holds a value of a type that cannot wipe itself. The type must own nothing outside its
/// own bytes; this is checked at compile time.
pub(crate) struct Wiped<T>(MaybeUninit<T>);

impl<T> Wiped<T> {
    const PLAIN: () = assert!(!std::mem::needs_drop::<T>(), "its destructor would not run");

    pub(crate) fn new(value: T) -> Self {
        let () = Self::PLAIN;
        Self(MaybeUninit::new(value))
    }
}

impl<T> Deref for Wiped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` initialised it and only `drop` ends that.
        unsafe { self.0.assume_init_ref() }
    }
}

impl<T> Drop for Wiped<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_zeroes_every_byte() {
        let mut wiped = std::mem::ManuallyDrop::new(Wiped::new([0x5a_u8; 64]));
        let bytes = wiped.as_ptr();
        // SAFETY: dropped once, and not used as a Wiped after that.
        unsafe { std::mem::ManuallyDrop::drop(&mut wiped) };
        for index in 0..64 {
            // SAFETY: the index is within the 64 bytes.
            let byte = unsafe { bytes.add(index) };
            // SAFETY: the memory still belongs to `wiped`, and zeroize wrote each byte of it.
            assert_eq!(unsafe { byte.read_volatile() }, 0);
        }
    }
}
