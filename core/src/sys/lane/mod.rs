//! What the lane needs of the platform: memory that a child does not have, pages shared with
//! an observer, and the connection over which they come.

mod mapping;
mod private;
mod socket;

#[cfg(test)]
pub(crate) use mapping::tests::Offered;
pub(crate) use mapping::{Owner, is_sealed, map_pages, unmap_caught};
pub(crate) use private::{Lines, Place, Pointer, Private, PrivateMemory};
pub(crate) use socket::{
    Address, Descriptor, FileInfo, close, connect, info, is_quiet, receive, replace, send,
    shut_down, socket, wait,
};
