//! Access to the operating system and to systemd.

pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod passed_fds;
pub(crate) mod priority;
pub(crate) mod process;
pub(crate) mod systemd;
