//! Zeroed memory, or an error if there is none: the standard library would abort.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr;

/// This many zeros; `None` if there is not enough memory.
pub(crate) fn zeros(count: usize) -> Option<Box<[u64]>> {
    let layout = Layout::array::<u64>(count).ok().filter(|layout| layout.size() > 0)?;
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return None;
    }
    let numbers = ptr::slice_from_raw_parts_mut(memory.cast(), count);
    // SAFETY: allocated just now with the layout of this slice, and zeros are numbers.
    Some(unsafe { Box::from_raw(numbers) })
}
