//! Pages that are shared with an observer.

use std::ffi::c_int;
use std::io;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::private::Pointer;
use super::socket::{info, number};
use crate::lane::layout::PAGE_BYTES;

/// What nobody may do with a page any more.
const SHRINK_AND_GROW: c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
const WRITE_AND_SEAL: c_int = libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL;

/// Whose page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Agent,
    Observer,
}

/// Whether a page is as the observer must have made it: nobody can change its size and, if it
/// is the observer's own, nobody can map it for writing.
pub(crate) fn is_sealed(page: RawFd, owner: Owner) -> bool {
    let wanted = match owner {
        Owner::Agent => SHRINK_AND_GROW,
        Owner::Observer => SHRINK_AND_GROW | WRITE_AND_SEAL,
    };
    // SAFETY: the arguments are numbers.
    let seals = unsafe { libc::fcntl(page, libc::F_GET_SEALS) };
    let has_size = info(page).is_ok_and(|info| info.bytes == PAGE_BYTES as u64);
    seals >= 0 && seals & wanted == wanted && has_size
}

/// A new mapping of a page, which is unmapped when it is dropped.
#[derive(Debug)]
pub(crate) struct Mapping<T>(NonNull<T>);

impl<T: Sync + 'static> Mapping<T> {
    /// Maps a page that is sealed as it must be. A child does not have the mapping. While it
    /// could, the mapping gives no access, and `caught` holds its address.
    pub(crate) fn new(page: RawFd, owner: Owner, caught: &AtomicUsize) -> io::Result<Self> {
        const { assert!(size_of::<T>() <= PAGE_BYTES) };
        // Whatever a child finds at this address is either this or the page.
        let free = map(ptr::null_mut(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        let mapping = Self(free.cast());
        caught.store(free.as_ptr().expose_provenance(), Ordering::Release);
        let mapped = map(free.as_ptr(), libc::MAP_SHARED | libc::MAP_FIXED, page);
        caught.store(0, Ordering::Release);
        mapped?;
        // SAFETY: the range is the mapping made above.
        let kept = unsafe { libc::madvise(free.as_ptr(), PAGE_BYTES, libc::MADV_DONTFORK) };
        number(kept.into())?;
        let access = match owner {
            Owner::Agent => libc::PROT_READ | libc::PROT_WRITE,
            Owner::Observer => libc::PROT_READ,
        };
        // SAFETY: as above.
        number(unsafe { libc::mprotect(free.as_ptr(), PAGE_BYTES, access) }.into())?;
        if owner == Owner::Agent {
            // SAFETY: the arguments are numbers.
            let sealed = unsafe { libc::fcntl(page, libc::F_ADD_SEALS, WRITE_AND_SEAL) };
            number(sealed.into())?;
        }
        Ok(mapping)
    }

    pub(crate) fn get(&self) -> &T {
        // SAFETY: mapped readable until dropped, as large as a page and aligned to one. `T`
        // consists of atomics, for which all contents are valid, and the file cannot shrink.
        unsafe { self.0.as_ref() }
    }

    /// Moves the mapping to its home, the address where such pages are mapped as long as the
    /// process lives, in place of the page that is there. Other threads may use that one
    /// meanwhile: each of their accesses is to the one or the other.
    pub(crate) fn move_to(self, home: &Pointer<T>) -> io::Result<&'static T> {
        if let Some(home) = home.get() {
            // SAFETY: both ranges are our own mappings, of one page each.
            let moved = unsafe {
                libc::mremap(
                    self.0.as_ptr().cast(),
                    PAGE_BYTES,
                    PAGE_BYTES,
                    libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                    ptr::from_ref(home).cast_mut(),
                )
            };
            if moved == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            // It is mapped elsewhere now.
            std::mem::forget(self);
            return Ok(home);
        }
        // SAFETY: as in `get`, and it is never unmapped from now on.
        let here: &'static T = unsafe { self.0.as_ref() };
        std::mem::forget(self);
        home.set(Some(here));
        Ok(here)
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: it is our own mapping, and nothing borrows from it any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// Unmaps in a child what [`Mapping::new`] was making when the parent forked.
pub(crate) fn unmap_caught(caught: &AtomicUsize) {
    let address = caught.swap(0, Ordering::AcqRel);
    if address != 0 {
        let address = ptr::with_exposed_provenance_mut(address);
        // SAFETY: the address was noted while the parent's mapping was inherited by children,
        // so this child has it, and nothing here uses it.
        unsafe { libc::munmap(address, PAGE_BYTES) };
    }
}

/// Maps a page without access.
fn map(at: *mut libc::c_void, flags: c_int, page: RawFd) -> io::Result<NonNull<libc::c_void>> {
    // SAFETY: maps new memory where the kernel chooses, or in place of our own mapping.
    let memory = unsafe { libc::mmap(at, PAGE_BYTES, libc::PROT_NONE, flags, page, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use super::*;
    use crate::lane::layout::Page;

    /// A page as an observer offers it, and as it sees it.
    pub(crate) struct Offered {
        file: OwnedFd,
        at: NonNull<Page>,
    }

    // SAFETY: the memory is mapped until dropped and holds nothing but atomics.
    unsafe impl Sync for Offered {}

    impl Offered {
        #[track_caller]
        pub(crate) fn new(owner: Owner) -> Self {
            let file = sealed_page();
            let at = map(ptr::null_mut(), libc::MAP_SHARED, file.as_raw_fd()).unwrap();
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: the mapping made above.
            assert_eq!(unsafe { libc::mprotect(at.as_ptr(), PAGE_BYTES, access) }, 0);
            if owner == Owner::Observer {
                let fd = file.as_raw_fd();
                // SAFETY: the arguments are numbers.
                assert_eq!(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, WRITE_AND_SEAL) }, 0);
            }
            Self { file, at: at.cast() }
        }

        pub(crate) fn page(&self) -> &Page {
            // SAFETY: mapped until dropped.
            unsafe { self.at.as_ref() }
        }

        pub(crate) fn file(&self) -> RawFd {
            self.file.as_raw_fd()
        }
    }

    impl Drop for Offered {
        fn drop(&mut self) {
            // SAFETY: mapped by `new`, and nothing borrows from it any more.
            unsafe { libc::munmap(self.at.as_ptr().cast(), PAGE_BYTES) };
        }
    }

    #[track_caller]
    fn sealed_page() -> OwnedFd {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"varta".as_ptr(), flags) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor is new.
        let page = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the arguments are numbers.
        assert_eq!(unsafe { libc::ftruncate(fd, PAGE_BYTES as libc::off_t) }, 0);
        // SAFETY: the arguments are numbers.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, SHRINK_AND_GROW) }, 0);
        page
    }

    fn is_mapped(address: *const libc::c_void) -> bool {
        // SAFETY: only checks whether something is mapped at the address.
        unsafe { libc::msync(address.cast_mut(), 1, libc::MS_ASYNC) == 0 }
    }

    /// Whether `check` is true in a child.
    fn in_child(check: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child only makes system calls and exits.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child without running the parent's exit handlers.
            0 => unsafe { libc::_exit(i32::from(check())) },
            pid => {
                let mut status = 0;
                // SAFETY: `status` is a local variable.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1
            }
        }
    }

    #[test]
    fn a_child_never_has_a_page_even_after_it_was_replaced() {
        let (caught, home) = (AtomicUsize::new(0), Pointer::default());
        let mut address = None;
        for round in 0..3 {
            let file = sealed_page();
            let new = Mapping::<Page>::new(file.as_raw_fd(), Owner::Agent, &caught).unwrap();
            new.get()[0].store(round, Ordering::Relaxed);
            let page: &Page = new.move_to(&home).unwrap();
            assert_eq!(page[0].load(Ordering::Relaxed), round);
            let at = ptr::from_ref(page).cast();
            assert_eq!(*address.get_or_insert(at), at, "it must stay where it is");
            assert!(in_child(|| !is_mapped(at)) && is_mapped(at));
            assert_eq!(caught.load(Ordering::Relaxed), 0);
            // Nobody else can map it any more.
            assert!(Mapping::<Page>::new(file.as_raw_fd(), Owner::Agent, &caught).is_err());
        }
    }

    #[test]
    fn a_child_unmaps_a_page_that_was_just_being_mapped() {
        let file = sealed_page();
        let page = map(ptr::null_mut(), libc::MAP_SHARED, file.as_raw_fd()).unwrap().as_ptr();
        let caught = AtomicUsize::new(page.expose_provenance());
        assert!(in_child(|| {
            let was_mapped = is_mapped(page);
            unmap_caught(&caught);
            was_mapped && !is_mapped(page)
        }));
        assert!(is_mapped(page));
        unmap_caught(&caught);
        assert!(!is_mapped(page));
    }
}
