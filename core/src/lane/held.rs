//! What a child may have inherited of its parent's lane: descriptors, and a page that was just
//! being mapped.
//!
//! Unlike everything else of the lane this is in memory that a child has too, so that it can
//! close what it inherited. A fork copies the descriptors first and the memory later, and other
//! threads run meanwhile; so a descriptor stays noted after it was closed or replaced, until some
//! more of its kind have been noted, and a child closes it only if it is still the same file.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::sys::lane::{FileInfo, close, info, unmap_caught};

/// What a descriptor is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The connection that has or had the page.
    Socket,
    /// A new connection.
    Asking,
    /// The agent's page, until it is mapped.
    Page,
    /// The observer's page, until it is mapped.
    Looks,
}

#[derive(Debug, Default)]
pub(super) struct Held {
    descriptors: [Latest; 4],
    /// The address of a page that is being mapped.
    pub(super) caught: AtomicUsize,
}

/// The latest descriptors of one kind. The time between two of them is a tenth of a second or
/// more, so a fork does not outlast them.
#[derive(Debug, Default)]
struct Latest {
    noted: [Noted; 4],
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Noted {
    /// The descriptor plus one; 0 for none.
    descriptor: AtomicU64,
    device: AtomicU64,
    inode: AtomicU64,
}

impl Held {
    /// Notes a descriptor of this file, or one that is about to be such.
    pub(super) fn note(&self, used_as: Use, descriptor: RawFd, file: &FileInfo) {
        let Some(latest) = self.descriptors.get(used_as as usize) else { return };
        let count = latest.count.fetch_add(1, Ordering::AcqRel);
        if let Some(noted) = latest.noted.get(count % latest.noted.len()) {
            noted.descriptor.store(0, Ordering::Release);
            noted.device.store(file.device, Ordering::Release);
            noted.inode.store(file.inode, Ordering::Release);
            noted.descriptor.store(to_word(descriptor), Ordering::Release);
        }
    }

    /// Notes a descriptor that is about to be one of the connection that asked last.
    pub(super) fn note_socket(&self, descriptor: RawFd) {
        let asking = self.descriptors.get(Use::Asking as usize);
        let asked = asking.and_then(|latest| {
            let last = latest.count.load(Ordering::Acquire).checked_sub(1)?;
            latest.noted.get(last % latest.noted.len())
        });
        if let Some(asked) = asked {
            let device = asked.device.load(Ordering::Acquire);
            let inode = asked.inode.load(Ordering::Acquire);
            self.note(Use::Socket, descriptor, &FileInfo { device, inode, bytes: 0 });
        }
    }

    /// Closes and unmaps in a child what belongs to its parent.
    pub(super) fn close_inherited(&self) {
        for noted in self.descriptors.iter().flat_map(|latest| &latest.noted) {
            let Some(descriptor) = from_word(noted.descriptor.swap(0, Ordering::AcqRel)) else {
                continue;
            };
            let is_the_same = info(descriptor).is_ok_and(|info| {
                info.device == noted.device.load(Ordering::Acquire)
                    && info.inode == noted.inode.load(Ordering::Acquire)
            });
            if is_the_same {
                close(descriptor);
            }
        }
        unmap_caught(&self.caught);
    }
}

/// A word that is 0 for no descriptor.
pub(super) fn to_word(descriptor: RawFd) -> u64 {
    u64::try_from(descriptor).map_or(0, |descriptor| descriptor + 1)
}

pub(super) fn from_word(word: u64) -> Option<RawFd> {
    RawFd::try_from(word.checked_sub(1)?).ok()
}
