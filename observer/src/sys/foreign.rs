//! Reading the memory of another process.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::checked;

/// Reads words of another process's memory, if their page is in memory now. A page that must
/// be fetched first could keep the reader waiting for as long as the process likes.
pub(crate) fn read_if_present<const WORDS: usize>(
    pid: u32,
    pagemap: &File,
    address: u64,
) -> Option<[u32; WORDS]> {
    const PRESENT: u64 = 1 << 63;
    let size = WORDS.checked_mul(size_of::<u32>())?;
    let last = address.checked_add(u64::try_from(size).ok()?.checked_sub(1)?)?;
    let page_size = page_size()?;
    if address / page_size != last / page_size {
        return None;
    }
    let mut entry = [0; 8];
    pagemap.read_exact_at(&mut entry, (address / page_size).checked_mul(8)?).ok()?;
    if u64::from_ne_bytes(entry) & PRESENT == 0 {
        return None;
    }
    let mut words = [0_u32; WORDS];
    let here = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size };
    let there = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address.try_into().ok()?),
        iov_len: size,
    };
    let pid = libc::pid_t::try_from(pid).ok()?;
    // SAFETY: the kernel writes no more than `size` bytes to `words`. The other address is one
    // of the other process, which the kernel checks.
    let read =
        unsafe { libc::process_vm_readv(pid, &raw const here, 1, &raw const there, 1, 0) };
    let read = checked(read.try_into().unwrap_or(-1)).ok()?;
    (usize::try_from(read) == Ok(size)).then_some(words)
}

fn page_size() -> Option<u64> {
    // SAFETY: takes a number alone.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).ok().filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_that_is_there_is_read() {
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        let own = std::process::id();
        let words = Box::new([17_u32, 4, 5, 6]);
        let address = words.as_ptr().addr() as u64;
        assert_eq!(read_if_present(own, &pagemap, address), Some([17_u32]));

        // Memory that was reserved and never touched has no page.
        let untouched = Vec::<u8>::with_capacity(64 << 20);
        let middle = (untouched.as_ptr().addr() as u64 + (32 << 20)) & !3;
        assert_eq!(read_if_present::<1>(own, &pagemap, middle), None);
        assert_eq!(read_if_present::<1>(own, &pagemap, 0), None);
        assert_eq!(read_if_present::<1>(own, &pagemap, u64::MAX), None);
        assert_eq!(read_if_present::<2>(own, &pagemap, 4_096 - 4), None, "it is in two pages");
    }
}
