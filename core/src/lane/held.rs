//! What a child may have inherited of its parent's lane: descriptors, and a page that was just
//! being mapped.
//!
//! Unlike everything else of the lane this is in memory that a child has too, so that it can
//! close what it inherited. A fork copies the descriptors first and the memory later, and other
//! threads run meanwhile; so a descriptor stays noted after it was closed, until the next of its
//! kind, and a child closes it only if it is still the same file.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::sys::lane::{close, info, unmap_caught};

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
    descriptors: [Noted; 4],
    /// The address of a page that is being mapped.
    pub(super) caught: AtomicUsize,
}

#[derive(Debug, Default)]
struct Noted {
    /// The descriptor plus one; 0 for none.
    descriptor: AtomicU64,
    device: AtomicU64,
    inode: AtomicU64,
}

impl Held {
    /// Notes a descriptor that was just opened.
    pub(super) fn note(&self, used_as: Use, descriptor: RawFd) {
        if let Ok(info) = info(descriptor) {
            self.set(used_as, descriptor, info.device, info.inode);
        }
    }

    /// Notes a descriptor of a file that is noted already.
    pub(super) fn note_copy(&self, used_as: Use, descriptor: RawFd, other: Use) {
        if let Some(other) = self.descriptors.get(other as usize) {
            let word = |word: &AtomicU64| word.load(Ordering::Acquire);
            self.set(used_as, descriptor, word(&other.device), word(&other.inode));
        }
    }

    fn set(&self, used_as: Use, descriptor: RawFd, device: u64, inode: u64) {
        if let Some(noted) = self.descriptors.get(used_as as usize) {
            noted.descriptor.store(0, Ordering::Release);
            noted.device.store(device, Ordering::Release);
            noted.inode.store(inode, Ordering::Release);
            noted.descriptor.store(to_word(descriptor), Ordering::Release);
        }
    }

    /// Closes and unmaps in a child what belongs to its parent.
    pub(super) fn close_inherited(&self) {
        for noted in &self.descriptors {
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
