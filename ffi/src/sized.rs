//! Structs that begin with their own size, so that they can grow.

use std::ptr;

use crate::errors::Failure;

/// No struct of ours will ever be so large. Beyond it nothing is looked at: the number is
/// rubbish, and so may be what lies behind the pointer.
const LARGEST: usize = 4096;

/// A struct of the header whose first field is a `uint32_t size`.
///
/// # Safety
///
/// It is `repr(C)`, its first field is that size, and any bytes are a valid value of it.
pub(crate) unsafe trait Sized: Copy {
    /// All zeros: in every field, zero means the default.
    const ZERO: Self;
}

/// How large the struct there says it is, if that is to be believed.
unsafe fn told<T: Sized>(place: *const T) -> Result<usize, Failure> {
    if place.is_null() {
        return Err(Failure::INVALID);
    }
    // SAFETY: the caller gave a pointer to a struct that begins with its size.
    let size = unsafe { place.cast::<u32>().read_unaligned() };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size < size_of::<u32>() {
        return Err(Failure::INVALID);
    }
    if size > LARGEST {
        return Err(Failure::errno(libc::E2BIG));
    }
    for beyond in size_of::<T>()..size {
        // SAFETY: within the bytes that the struct says it has.
        let byte = unsafe { place.cast::<u8>().add(beyond) };
        // SAFETY: as above.
        if unsafe { byte.read() } != 0 {
            return Err(Failure::errno(libc::E2BIG));
        }
    }
    Ok(size)
}

/// Reads a struct from the caller; NULL is one of all zeros.
///
/// # Safety
///
/// `from` is NULL or leads to as many bytes as its size says.
pub(crate) unsafe fn read<T: Sized>(from: *const T) -> Result<T, Failure> {
    let mut value = T::ZERO;
    if !from.is_null() {
        // SAFETY: as the caller promised.
        let size = unsafe { told(from) }?.min(size_of::<T>());
        let to = (&raw mut value).cast::<u8>();
        // SAFETY: both have so many bytes, and any bytes are a valid value.
        unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), to, size) };
    }
    Ok(value)
}

/// Room of the caller's for structs, one after the other, all as large as the first says.
pub(crate) struct Room<T> {
    first: *mut T,
    stride: usize,
}

impl<T: Sized> Room<T> {
    /// # Safety
    ///
    /// `first` is NULL or leads to the bytes its size says, which stay writable and
    /// nobody else's until the room is dropped; so do those of whatever follows it.
    pub(crate) unsafe fn new(first: *mut T) -> Result<Self, Failure> {
        // SAFETY: as the caller promised.
        Ok(Self { first, stride: unsafe { told(first) }? })
    }

    /// Writes the struct with this index, as far as the caller knows its fields.
    ///
    /// # Safety
    ///
    /// The room has that many.
    pub(crate) unsafe fn write(&self, index: usize, value: &T) {
        // SAFETY: within the room, as the caller promised.
        let to = unsafe { self.first.cast::<u8>().add(index * self.stride) };
        let known = self.stride.min(size_of::<T>());
        // SAFETY: both have so many bytes and lie apart.
        unsafe { ptr::copy_nonoverlapping(ptr::from_ref(value).cast::<u8>(), to, known) };
        // SAFETY: from the end of what was written to the end of this one.
        let rest = unsafe { to.add(known) };
        // SAFETY: as above.
        unsafe { rest.write_bytes(0, self.stride - known) };
        let size = u32::try_from(self.stride).unwrap_or(u32::MAX);
        // SAFETY: a struct begins with its size.
        unsafe { to.cast::<u32>().write_unaligned(size) };
    }
}
