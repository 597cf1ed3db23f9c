//! Structs that begin with their own size, so that they can grow.

use std::ptr;

use crate::errors::Failure;

/// Larger than any struct of the header will ever be. A larger size must be garbage, and so may
/// be the memory that the pointer leads to, so it is not read.
const LARGEST: usize = 4096;

/// A struct of the header whose first field is a `uint32_t size`.
///
/// # Safety
///
/// The type is `repr(C)`, its first field is that size, and any bytes are a valid value of it.
pub(crate) unsafe trait Sized: Copy {
    /// All zeros: in every field, zero means the default.
    const ZERO: Self;
}

/// Reads the size that a struct of the caller declares, and checks it.
unsafe fn declared_size<T: Sized>(from: *const T) -> Result<usize, Failure> {
    if from.is_null() {
        return Err(Failure::INVALID);
    }
    // SAFETY: the caller gave a pointer to a struct that begins with its size.
    let size = unsafe { from.cast::<u32>().read_unaligned() };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size < size_of::<u32>() {
        return Err(Failure::INVALID);
    }
    if size > LARGEST {
        return Err(Failure::errno(libc::E2BIG));
    }
    for offset in size_of::<T>()..size {
        // SAFETY: within the declared size.
        let byte = unsafe { from.cast::<u8>().add(offset) };
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
/// `from` is NULL or points to as many bytes as its size declares.
pub(crate) unsafe fn read<T: Sized>(from: *const T) -> Result<T, Failure> {
    let mut value = T::ZERO;
    if !from.is_null() {
        // SAFETY: as the caller promised.
        let size = unsafe { declared_size(from) }?.min(size_of::<T>());
        let to = (&raw mut value).cast::<u8>();
        // SAFETY: both have this many bytes, and any bytes are a valid value.
        unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), to, size) };
    }
    Ok(value)
}

/// An array of the caller that receives structs. Every element has the size that the first one
/// declares.
pub(crate) struct OutputArray<T> {
    first: *mut T,
    stride: usize,
}

impl<T: Sized> OutputArray<T> {
    /// # Safety
    ///
    /// `first` is NULL or points to as many bytes as its size declares. These, and the elements
    /// that follow, stay writable and unshared until the array is dropped.
    pub(crate) unsafe fn new(first: *mut T) -> Result<Self, Failure> {
        // SAFETY: as the caller promised.
        Ok(Self { first, stride: unsafe { declared_size(first) }? })
    }

    /// Writes the element at an index: the fields that fit into the caller's version of the
    /// struct.
    ///
    /// # Safety
    ///
    /// The array has such an element.
    pub(crate) unsafe fn write(&self, index: usize, value: &T) {
        // SAFETY: within the array, as the caller promised.
        let to = unsafe { self.first.cast::<u8>().add(index * self.stride) };
        let known = self.stride.min(size_of::<T>());
        // SAFETY: both have this many bytes and do not overlap.
        unsafe { ptr::copy_nonoverlapping(ptr::from_ref(value).cast::<u8>(), to, known) };
        // SAFETY: `known` is at most `stride`, the size of the element.
        let rest = unsafe { to.add(known) };
        // SAFETY: as above.
        unsafe { rest.write_bytes(0, self.stride - known) };
        let size = u32::try_from(self.stride).unwrap_or(u32::MAX);
        // SAFETY: a struct begins with its size.
        unsafe { to.cast::<u32>().write_unaligned(size) };
    }
}
