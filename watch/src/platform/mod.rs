//! What the daemon needs of the operating system and of systemd.

pub(crate) mod clock;
pub(crate) mod passed_fds;
pub(crate) mod systemd;
