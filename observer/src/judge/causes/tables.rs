//! What the names of kernel functions and system calls say about a thread that waits.

use super::Text;
use super::reading::{Call, ThreadReading};

type Channel = Text<40>;

fn begins(channel: &Channel, names: &[&str]) -> bool {
    names.iter().any(|name| channel.starts_with(name))
}

/// A frozen control group of the second version, in which a signal is pending.
pub(super) fn is_frozen(channel: &Channel) -> bool {
    *channel == *"get_signal"
        || begins(channel, &["__refrigerator", "do_freezer_trap", "cgroup_enter_frozen"])
}

/// A child that has not executed its program yet.
pub(super) fn is_new_child(channel: &Channel, call: &str) -> bool {
    begins(channel, &["kernel_clone", "wait_for_vfork_done", "_do_fork"])
        || matches!(call, "vfork" | "clone" | "clone3") && !is_io(channel)
}

pub(super) fn is_child_wait(channel: &Channel, call: &str) -> bool {
    matches!(call, "wait4" | "waitid") || channel.starts_with("do_wait")
}

/// A limit of a control group.
pub(super) fn is_memory_group(channel: &Channel) -> bool {
    channel.starts_with("mem_cgroup")
}

pub(super) fn is_user_fault(channel: &Channel) -> bool {
    channel.starts_with("handle_userfault")
}

pub(super) fn is_memory(channel: &Channel) -> bool {
    const NAMES: [&str; 13] = [
        "handle_userfault",
        "folio_wait_bit",
        "__folio_lock",
        "shrink_",
        "try_to_free",
        "do_swap_page",
        "swap",
        "throttle_direct_reclaim",
        "reclaim_throttle",
        "filemap_fault",
        "out_of_memory",
        "migration_entry_wait",
        "mem_cgroup",
    ];
    begins(channel, &NAMES)
}

/// Devices, file systems, and file systems that another process or machine serves.
pub(super) fn is_io(channel: &Channel) -> bool {
    const NAMES: [&str; 30] = [
        "io_schedule",
        "blk_",
        "submit_bio",
        "jbd2",
        "ext4",
        "xfs",
        "btrfs",
        "nfs",
        "rpc_wait",
        "request_wait_answer",
        "fuse",
        "__fuse",
        "percpu_rwsem",
        "sb_start",
        "wait_on_buffer",
        "__wait_on_buffer",
        "bit_wait",
        "rq_qos_wait",
        "wbt_wait",
        "balance_dirty",
        "blkdev",
        "iomap",
        "dio_",
        "wait_on_page",
        "folio_wait",
        "cifs",
        "ceph",
        "p9_",
        "read_events",
        "aio_",
    ];
    begins(channel, &NAMES)
}

pub(super) fn is_file_lock(channel: &Channel, call: &str) -> bool {
    matches!(call, "flock" | "fcntl")
        || begins(
            channel,
            &["locks_lock", "flock_lock", "posix_lock", "fcntl_setlk", "do_lock"],
        )
}

pub(super) fn is_semaphore(channel: &Channel, call: &str) -> bool {
    matches!(call, "semop" | "semtimedop") || channel.starts_with("__do_semtimedop")
}

/// A lock with priority inheritance.
pub(super) fn is_priority_lock(channel: &Channel) -> bool {
    begins(channel, &["futex_lock_pi", "rt_mutex", "__rt_mutex"])
}

/// Whether the thread waits for events, as an event loop does.
pub(super) fn is_event_wait(thread: &ThreadReading) -> bool {
    match thread.call {
        Call::In { name, .. } => matches!(
            name,
            "poll"
                | "ppoll"
                | "select"
                | "pselect6"
                | "epoll_wait"
                | "epoll_pwait"
                | "epoll_pwait2"
                | "io_uring_enter"
                | "rt_sigtimedwait"
        ),
        _ => begins(
            &thread.wait_channel,
            &["ep_poll", "do_epoll_wait", "do_poll", "do_select", "poll_schedule_timeout"],
        ),
    }
}
