//! Memory that does not come.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use super::{Last, forever};

/// New memory of this process, in which nothing is yet.
fn map(length: usize, file: Option<&File>) -> *mut u8 {
    let (protection, flags, file) = match file {
        Some(file) => (libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd()),
        None => {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            (libc::PROT_READ | libc::PROT_WRITE, flags, -1)
        }
    };
    // SAFETY: a new mapping, whose address the kernel chooses.
    let pages = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file, 0) };
    assert_ne!(pages, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    pages.cast()
}

const PAGE: usize = 4_096;

/// Touches a page that nobody provides.
pub(crate) fn in_a_page_fault(last: Last<'_>) {
    let page = new_pages();
    let handler = withhold(page);
    last();
    // SAFETY: it is ours.
    unsafe { page.cast::<u8>().write_volatile(1) };
    drop(handler);
    forever();
}

const LENGTH: usize = 65_536;

pub(crate) fn new_pages() -> *mut libc::c_void {
    map(LENGTH, None).cast()
}

/// From now on, whoever touches one of these pages that is not there waits for ever.
pub(crate) fn withhold(pages: *mut libc::c_void) -> OwnedFd {
    #[repr(C)]
    #[derive(Default)]
    struct Api {
        api: u64,
        features: u64,
        ioctls: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Register {
        start: u64,
        length: u64,
        mode: u64,
        ioctls: u64,
    }
    // SAFETY: takes a number.
    let handler = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    assert!(handler >= 0, "{}", std::io::Error::last_os_error());
    let handler: libc::c_int = handler.try_into().unwrap();
    let mut api = Api { api: 0xAA, ..Api::default() };
    let request = libc::_IOWR::<Api>(0xAA, 0x3F);
    // SAFETY: `api` has the size in the request's number.
    let enabled = unsafe { libc::ioctl(handler, request, &raw mut api) };
    assert_eq!(enabled, 0, "{}", std::io::Error::last_os_error());
    let (start, length) = (pages.addr() as u64, LENGTH as u64);
    let mut register = Register { start, length, mode: 1, ..Register::default() };
    let request = libc::_IOWR::<Register>(0xAA, 0x00);
    // SAFETY: as above.
    let registered = unsafe { libc::ioctl(handler, request, &raw mut register) };
    assert_eq!(registered, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: it was opened just now.
    unsafe { OwnedFd::from_raw_fd(handler) }
}

const MANY: usize = 256 << 20;

/// With the rest of the process, this is not yet too much.
const MOST_OF_THE_LIMIT: usize = 16 << 20;

/// Asks for more memory than its control group may have.
pub(crate) fn growing(last: Last<'_>) {
    let memory = map(MANY, None);
    touch(memory, 0..MOST_OF_THE_LIMIT / PAGE);
    last();
    touch(memory, MOST_OF_THE_LIMIT / PAGE..MANY / PAGE);
    forever();
}

/// Goes round and round in more memory than its control group may have, so that it is swapped.
pub(crate) fn swapping(last: Last<'_>) {
    let memory = map(MANY, None);
    last();
    loop {
        touch(memory, 0..MANY / PAGE);
    }
}

fn touch(memory: *mut u8, pages: std::ops::Range<usize>) {
    for page in pages {
        let address = memory.wrapping_add(page * PAGE);
        // SAFETY: it lies within the mapping, which is ours.
        let old = unsafe { address.read_volatile() };
        // SAFETY: as above.
        unsafe { address.write_volatile(old.wrapping_add(1)) };
    }
}

/// Reads here and there in a file that is larger than what its control group may cache.
pub(crate) fn reading_a_mapped_file(last: Last<'_>) {
    let name = format!("mapped-{}", std::process::id());
    let mut file = File::create_new(&name).unwrap();
    const LENGTH: usize = 96 << 20;
    for _ in 0..LENGTH >> 20 {
        file.write_all(&[7; 1 << 20]).unwrap();
    }
    file.sync_all().unwrap();
    let file = File::open(&name).unwrap();
    std::fs::remove_file(&name).unwrap();
    // SAFETY: takes numbers alone.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let memory = map(LENGTH, Some(&file));
    // SAFETY: the mapping is ours.
    unsafe { libc::madvise(memory.cast(), LENGTH, libc::MADV_RANDOM) };
    last();
    let mut random = 1_u32;
    loop {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let page = (random >> 8) as usize % (LENGTH / PAGE);
        // SAFETY: it lies within the mapping.
        unsafe { memory.wrapping_add(page * PAGE).read_volatile() };
    }
}
