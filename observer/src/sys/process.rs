//! Properties of this process as a whole.

/// The effective user of this process.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// How many descriptors this process may have open; without a limit, `u64::MAX`.
pub(crate) fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: 0 };
    // SAFETY: `limit` may be written. It cannot fail with a valid pointer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    #[allow(clippy::useless_conversion, reason = "narrower on some targets")]
    match limit.rlim_cur {
        libc::RLIM_INFINITY => u64::MAX,
        limit => limit.into(),
    }
}
