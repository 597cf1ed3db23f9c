//! A signal stack for a thread whose own stack may overflow.

use std::io;
use std::ptr::{self, NonNull};

use super::check;

/// The stack that the handler may use, with room to spare. Sealing needs the most of it.
const ENOUGH: usize = 64 * 1024;

/// The size of what the kernel puts on the stack before the handler runs. It depends on the
/// CPU's registers.
fn least() -> usize {
    // SAFETY: only reads a number.
    let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    usize::try_from(frame).unwrap_or_default().max(libc::MINSIGSTKSZ)
}

/// The thread's alternate stack, freed when the thread ends.
struct Stack {
    lowest: NonNull<libc::c_void>,
    guard: usize,
    size: usize,
}

/// Makes sure that this thread has an alternate stack that is large enough.
pub(super) fn ensure_for_thread() -> io::Result<()> {
    use std::cell::OnceCell;
    thread_local! {
        static STACK: OnceCell<Stack> = const { OnceCell::new() };
    }
    let needed = least() + ENOUGH / 4;
    let current = current()?;
    if current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= needed {
        return Ok(());
    }
    STACK.with(|stack| {
        if stack.get().is_none() {
            // No other call of this thread can have set it in the meantime.
            let _ = stack.set(Stack::map()?);
        }
        stack.get().map_or(Ok(()), Stack::set)
    })
}

fn current() -> io::Result<libc::stack_t> {
    let mut current = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: only writes to `current`.
    check(unsafe { libc::sigaltstack(ptr::null(), &raw mut current) })?;
    Ok(current)
}

impl Stack {
    fn map() -> io::Result<Self> {
        // SAFETY: only reads a number.
        let page =
            usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let size = (least() + ENOUGH).next_multiple_of(page);
        // SAFETY: maps new memory at an address that the kernel chooses.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                page + size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let lowest = NonNull::new(memory).ok_or(io::ErrorKind::OutOfMemory)?;
        let stack = Self { lowest, guard: page, size };
        // A guard page, so that an overflow cannot overwrite other memory.
        // SAFETY: the first page of the mapping above, which is not in use yet.
        check(unsafe { libc::mprotect(memory, page, libc::PROT_NONE) })?;
        Ok(stack)
    }

    fn lowest_used(&self) -> *mut libc::c_void {
        self.lowest.as_ptr().wrapping_byte_add(self.guard)
    }

    fn set(&self) -> io::Result<()> {
        let stack =
            libc::stack_t { ss_sp: self.lowest_used(), ss_flags: 0, ss_size: self.size };
        // SAFETY: the memory stays mapped until `drop`, which removes the stack first.
        check(unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if current().is_ok_and(|current| current.ss_sp == self.lowest_used()) {
            let none = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: 0,
            };
            // SAFETY: removes the stack that `set` installed. It fails only if this code runs on
            // that stack, and then the memory must stay mapped.
            if unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) } != 0 {
                return;
            }
        }
        // SAFETY: `map` mapped it, and no signal handler of this thread uses it any more.
        unsafe { libc::munmap(self.lowest.as_ptr(), self.guard + self.size) };
    }
}
