//! Pages that are shared with an observer.

use std::ffi::c_int;
use std::io;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::private::Pointer;
use super::socket::{FileInfo, number};
use crate::lane::layout::PAGE_BYTES;

/// What nobody may do with a page any more.
const SHRINK_AND_GROW: c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
const WRITE_AND_SEAL: c_int = libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL;

/// The agent's page and the observer's are mapped side by side.
const CAUGHT_BYTES: usize = 2 * PAGE_BYTES;

/// Whose page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Agent,
    Observer,
}

/// Whether a page is as the observer must have made it: nobody can change its size and, if it
/// is the observer's own, nobody can map it for writing.
pub(crate) fn is_sealed(page: RawFd, info: &FileInfo, owner: Owner) -> bool {
    let wanted = match owner {
        Owner::Agent => SHRINK_AND_GROW,
        Owner::Observer => SHRINK_AND_GROW | WRITE_AND_SEAL,
    };
    // SAFETY: the arguments are numbers.
    let seals = unsafe { libc::fcntl(page, libc::F_GET_SEALS) };
    seals >= 0 && seals & wanted == wanted && info.bytes == PAGE_BYTES as u64
}

/// Maps an agent's page and its observer's, which are sealed as they must be. A child does not have
/// the mappings. While it could, it could not write, and `caught` holds their address.
pub(crate) fn map_pages<P, L>(
    page: RawFd,
    looks: RawFd,
    caught: &AtomicUsize,
) -> io::Result<(Mapping<P>, Mapping<L>)> {
    const { assert!(size_of::<P>() <= PAGE_BYTES && size_of::<L>() <= PAGE_BYTES) };
    const NO_ACCESS: c_int = libc::PROT_NONE;
    // Whatever a child finds at these addresses is either this or the pages.
    let free = map(
        ptr::null_mut(),
        CAUGHT_BYTES,
        NO_ACCESS,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        -1,
    )?;
    // SAFETY: within the mapping.
    let second = unsafe { free.byte_add(PAGE_BYTES) };
    let mappings = (Mapping(free.cast()), Mapping(second.cast()));
    let shared = libc::MAP_SHARED | libc::MAP_FIXED;
    caught.store(free.as_ptr().expose_provenance(), Ordering::Release);
    let mapped = map(free.as_ptr(), PAGE_BYTES, NO_ACCESS, shared, page)
        .and_then(|_| map(second.as_ptr(), PAGE_BYTES, libc::PROT_READ, shared, looks));
    caught.store(0, Ordering::Release);
    mapped?;
    // SAFETY: the range is the mapping made above.
    let kept = unsafe { libc::madvise(free.as_ptr(), CAUGHT_BYTES, libc::MADV_DONTFORK) };
    number(kept.into())?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: as above.
    number(unsafe { libc::mprotect(free.as_ptr(), PAGE_BYTES, access) }.into())?;
    // SAFETY: the arguments are numbers.
    let sealed = unsafe { libc::fcntl(page, libc::F_ADD_SEALS, WRITE_AND_SEAL) };
    number(sealed.into())?;
    Ok(mappings)
}

/// A mapping of a page, which is unmapped when it is dropped.
#[derive(Debug)]
pub(crate) struct Mapping<T>(NonNull<T>);

impl<T: Sync + 'static> Mapping<T> {
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

/// Unmaps in a child what [`map_pages`] was mapping when the parent forked.
pub(crate) fn unmap_caught(caught: &AtomicUsize) {
    let address = caught.swap(0, Ordering::AcqRel);
    if address != 0 {
        let address = ptr::with_exposed_provenance_mut(address);
        // SAFETY: the address was noted while the parent's mappings were inherited by children,
        // so this child has them, and nothing here uses them.
        unsafe { libc::munmap(address, CAUGHT_BYTES) };
    }
}

fn map(
    at: *mut libc::c_void,
    bytes: usize,
    access: c_int,
    flags: c_int,
    file: RawFd,
) -> io::Result<NonNull<libc::c_void>> {
    // SAFETY: maps new memory where the kernel chooses, or in place of our own mapping.
    let memory = unsafe { libc::mmap(at, bytes, access, flags, file, 0) };
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
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let (anywhere, fd) = (ptr::null_mut(), file.as_raw_fd());
            let at = map(anywhere, PAGE_BYTES, access, libc::MAP_SHARED, fd).unwrap();
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
        let looks = Offered::new(Owner::Observer);
        let mut address = None;
        for round in 0..3 {
            let file = sealed_page();
            let map = || map_pages::<Page, Page>(file.as_raw_fd(), looks.file(), &caught);
            let (new, looks) = map().unwrap();
            let beside = ptr::from_ref(looks.get()).cast();
            assert!(in_child(|| !is_mapped(beside)) && is_mapped(beside));
            new.get()[0].store(round, Ordering::Relaxed);
            let page: &Page = new.move_to(&home).unwrap();
            assert_eq!(page[0].load(Ordering::Relaxed), round);
            let at = ptr::from_ref(page).cast();
            assert_eq!(*address.get_or_insert(at), at, "it must stay where it is");
            assert!(in_child(|| !is_mapped(at)) && is_mapped(at));
            assert_eq!(caught.load(Ordering::Relaxed), 0);
            // Nobody else can map it any more.
            assert!(map().is_err());
        }
    }

    #[test]
    fn a_child_unmaps_pages_that_were_just_being_mapped() {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let pages = map(ptr::null_mut(), CAUGHT_BYTES, libc::PROT_NONE, flags, -1).unwrap();
        // SAFETY: within the mapping.
        let second = unsafe { pages.byte_add(PAGE_BYTES) };
        let are_mapped = || [pages, second].map(|page| is_mapped(page.as_ptr()));
        let caught = AtomicUsize::new(pages.as_ptr().expose_provenance());
        assert!(in_child(|| {
            let were_mapped = are_mapped() == [true; 2];
            unmap_caught(&caught);
            were_mapped && are_mapped() == [false; 2]
        }));
        assert_eq!(are_mapped(), [true; 2]);
        unmap_caught(&caught);
        assert_eq!(are_mapped(), [false; 2]);
    }
}
