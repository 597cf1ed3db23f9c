//! Memory that is shared with agents: pages that they write and one that they read.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use varta::internal::lane::layout::{PAGE_BYTES, Page};

use super::{Owner, checked, new_fd, zeros};

/// A new file in memory, of one page, whose size can no longer change. Memory is used once
/// somebody touches the page.
pub(crate) fn page_file() -> io::Result<OwnedFd> {
    let file = unsealed_file()?;
    seal(file.as_fd(), libc::F_SEAL_SHRINK | libc::F_SEAL_GROW)?;
    Ok(file)
}

fn unsealed_file() -> io::Result<OwnedFd> {
    let create = |flags| {
        let name = c"varta";
        // SAFETY: `name` is a C string.
        let answer = unsafe {
            let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | flags;
            libc::memfd_create(name.as_ptr(), flags)
        };
        // SAFETY: made just now.
        unsafe { new_fd(answer) }
    };
    // Before Linux 6.3 the flag is unknown.
    let file = match create(libc::MFD_NOEXEC_SEAL) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => create(0)?,
        file => file?,
    };
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::ftruncate(file.as_raw_fd(), PAGE_BYTES as libc::off_t) })?;
    Ok(file)
}

fn seal(file: BorrowedFd<'_>, seals: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(())
}

/// Keeps a mapping out of forked children, which must not use it and would pay for it.
fn keep_from_children(address: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: the range is a mapping of ours. In this process nothing changes.
    checked(unsafe { libc::madvise(address.as_ptr().cast(), bytes, libc::MADV_DONTFORK) })?;
    Ok(())
}

/// The page that the observer writes and all agents read.
pub(crate) struct CommonPage {
    page: NonNull<Page>,
    file: OwnedFd,
    owner: Owner,
}

// SAFETY: the page consists of atomics and stays mapped until this is dropped.
unsafe impl Send for CommonPage {}
// SAFETY: as above.
unsafe impl Sync for CommonPage {}

impl CommonPage {
    /// Nobody else can ever write the page, or change its size.
    pub(crate) fn new() -> io::Result<Self> {
        let file = unsealed_file()?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: asks for a new mapping at a place of the kernel's choosing.
        let address = unsafe {
            let (fd, shared) = (file.as_raw_fd(), libc::MAP_SHARED);
            libc::mmap(ptr::null_mut(), PAGE_BYTES, access, shared, fd, 0)
        };
        let page = NonNull::new(address).filter(|_| address != libc::MAP_FAILED);
        let page = page.ok_or_else(io::Error::last_os_error)?.cast::<Page>();
        let common = Self { page, file, owner: Owner::here() };
        keep_from_children(page.cast(), PAGE_BYTES)?;
        // After it was mapped here: the last two seals forbid any further writable mapping.
        let size = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
        seal(common.file.as_fd(), size | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL)?;
        Ok(common)
    }

    pub(crate) fn store(&self, word: usize, value: u64) {
        // SAFETY: mapped until drop, as large as a page and aligned to it.
        let page = unsafe { self.page.as_ref() };
        if let Some(word) = page.get(word) {
            word.store(value, Ordering::Release);
        }
    }
}

impl AsFd for CommonPage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for CommonPage {
    fn drop(&mut self) {
        // In a forked child it is not mapped.
        if self.owner.is_here() {
            // SAFETY: `new` mapped it, and nothing refers to it any more.
            unsafe { libc::munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
        }
    }
}

impl fmt::Debug for CommonPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommonPage").finish_non_exhaustive()
    }
}

/// The pages of agents, side by side in one reserved range of addresses, so that there are
/// never more mappings than pages.
pub(crate) struct Pages {
    base: NonNull<u8>,
    count: usize,
    /// A bit for each page that is mapped.
    mapped: Box<[u64]>,
    owner: Owner,
}

// SAFETY: the pages consist of atomics and stay mapped until `unmap`, which needs exclusive
// access, or until this is dropped.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// Reserves addresses, but no memory.
    pub(crate) fn reserve(count: usize) -> io::Result<Self> {
        let out_of_memory = || io::Error::from_raw_os_error(libc::ENOMEM);
        let bytes = count.checked_mul(PAGE_BYTES).ok_or_else(out_of_memory)?;
        let mapped = zeros(count.div_ceil(64)).ok_or_else(out_of_memory)?;
        // SAFETY: asks for new addresses at a place of the kernel's choosing.
        let base = unsafe { reserve_at(ptr::null_mut(), bytes, 0) }?;
        let pages = Self { base, count, mapped, owner: Owner::here() };
        keep_from_children(base, bytes)?;
        Ok(pages)
    }

    /// Maps a file of one page, whose size is sealed, in place of what was mapped there before.
    pub(crate) fn map(&mut self, index: usize, file: BorrowedFd<'_>) -> io::Result<()> {
        let address = self.address(index).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: replaces one page of the reserved range. Nobody refers to the page that was
        // mapped there, because `self` is borrowed exclusively.
        let mapped = unsafe {
            libc::mmap(
                address.as_ptr().cast(),
                PAGE_BYTES,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_FIXED,
                file.as_raw_fd(),
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        self.mark(index, true);
        keep_from_children(address, PAGE_BYTES)
    }

    /// Gives up the memory of a page.
    pub(crate) fn unmap(&mut self, index: usize) {
        let Some(address) = self.address(index).filter(|_| self.is_mapped(index)) else {
            return;
        };
        self.mark(index, false);
        // If this fails, the page stays mapped until the place is used again.
        // SAFETY: replaces one page of the reserved range, to which nobody refers, as above.
        if unsafe { reserve_at(address.as_ptr(), PAGE_BYTES, libc::MAP_FIXED) }.is_ok() {
            // Without the advice it would not become one mapping with its neighbours.
            let _ = keep_from_children(address, PAGE_BYTES);
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Page> {
        let address = self.address(index).filter(|_| self.is_mapped(index))?;
        // SAFETY: mapped, as large as a page and aligned to it, until somebody has exclusive
        // access to `self`. The size of the file behind it cannot change. Others may write it
        // at any time, which atomics allow.
        Some(unsafe { address.cast::<Page>().as_ref() })
    }

    fn address(&self, index: usize) -> Option<NonNull<u8>> {
        // SAFETY: within the reserved range.
        (index < self.count).then(|| unsafe { self.base.add(index * PAGE_BYTES) })
    }

    fn is_mapped(&self, index: usize) -> bool {
        self.mapped.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 != 0)
    }

    fn mark(&mut self, index: usize, mapped: bool) {
        if let Some(bits) = self.mapped.get_mut(index / 64) {
            let bit = 1 << (index % 64);
            *bits = if mapped { *bits | bit } else { *bits & !bit };
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // In a forked child nothing is mapped there, or something else by now.
        if self.owner.is_here() {
            // SAFETY: the range that `reserve` has mapped, to which nothing refers any more.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.count * PAGE_BYTES) };
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Maps addresses without memory.
///
/// # Safety
///
/// With `MAP_FIXED`, the range must be a mapping to which nothing refers.
unsafe fn reserve_at(
    address: *mut u8,
    bytes: usize,
    fixed: libc::c_int,
) -> io::Result<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | fixed;
    // SAFETY: the caller promises that nothing refers to what is there.
    let mapped = unsafe { libc::mmap(address.cast(), bytes, libc::PROT_NONE, flags, -1, 0) };
    let base = NonNull::new(mapped.cast::<u8>()).filter(|_| mapped != libc::MAP_FAILED);
    base.ok_or_else(io::Error::last_os_error)
}
