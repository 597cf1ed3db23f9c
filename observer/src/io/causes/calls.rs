//! The names of the system calls in which a process is likely to wait.

use libc::c_long;

use crate::judge::Call;

/// The name of a call on this machine; empty if it is not in the list.
pub(super) fn name(number: u32) -> &'static str {
    let mut calls = CALLS.iter().chain(OLDER);
    calls.find(|(call, _)| *call == c_long::from(number)).map_or("", |(_, name)| name)
}

/// The call with this name, if it is in the list.
pub(crate) fn call_named(name: &str, arguments: [u64; 4]) -> Option<Call> {
    let mut calls = CALLS.iter().chain(OLDER);
    let (number, name) = calls.find(|(_, known)| *known == name)?;
    Some(Call::In { number: u32::try_from(*number).ok()?, name, arguments })
}

macro_rules! calls {
    ($($number:ident $name:literal)*) => { &[$((libc::$number, $name),)*] };
}

const CALLS: &[(c_long, &str)] = calls! {
    SYS_futex "futex"
    SYS_read "read" SYS_write "write" SYS_readv "readv" SYS_writev "writev"
    SYS_pread64 "pread64" SYS_pwrite64 "pwrite64" SYS_preadv "preadv" SYS_pwritev "pwritev"
    SYS_recvfrom "recvfrom" SYS_recvmsg "recvmsg" SYS_recvmmsg "recvmmsg"
    SYS_sendto "sendto" SYS_sendmsg "sendmsg" SYS_sendmmsg "sendmmsg"
    SYS_connect "connect" SYS_accept "accept" SYS_accept4 "accept4"
    SYS_ppoll "ppoll" SYS_pselect6 "pselect6"
    SYS_epoll_pwait "epoll_pwait" SYS_epoll_pwait2 "epoll_pwait2"
    SYS_io_uring_enter "io_uring_enter" SYS_io_getevents "io_getevents"
    SYS_nanosleep "nanosleep" SYS_clock_nanosleep "clock_nanosleep"
    SYS_restart_syscall "restart_syscall"
    SYS_rt_sigtimedwait "rt_sigtimedwait" SYS_rt_sigsuspend "rt_sigsuspend"
    SYS_wait4 "wait4" SYS_waitid "waitid"
    SYS_clone "clone" SYS_clone3 "clone3" SYS_execve "execve" SYS_execveat "execveat"
    SYS_exit "exit" SYS_exit_group "exit_group"
    SYS_flock "flock" SYS_fcntl "fcntl" SYS_semop "semop" SYS_semtimedop "semtimedop"
    SYS_msgsnd "msgsnd" SYS_msgrcv "msgrcv" SYS_mq_timedreceive "mq_timedreceive"
    SYS_mq_timedsend "mq_timedsend" SYS_futex_waitv "futex_waitv"
    SYS_openat "openat" SYS_openat2 "openat2" SYS_close "close" SYS_ioctl "ioctl"
    SYS_newfstatat "newfstatat" SYS_fstat "fstat" SYS_statx "statx" SYS_getdents64 "getdents64"
    SYS_unlinkat "unlinkat" SYS_renameat2 "renameat2" SYS_mkdirat "mkdirat"
    SYS_readlinkat "readlinkat" SYS_faccessat "faccessat" SYS_faccessat2 "faccessat2"
    SYS_utimensat "utimensat" SYS_linkat "linkat" SYS_symlinkat "symlinkat"
    SYS_fsync "fsync" SYS_fdatasync "fdatasync" SYS_sync "sync" SYS_syncfs "syncfs"
    SYS_sync_file_range "sync_file_range" SYS_fallocate "fallocate" SYS_ftruncate "ftruncate"
    SYS_truncate "truncate" SYS_statfs "statfs" SYS_fstatfs "fstatfs"
    SYS_mount "mount" SYS_umount2 "umount2"
    SYS_copy_file_range "copy_file_range" SYS_sendfile "sendfile" SYS_splice "splice"
    SYS_mmap "mmap" SYS_munmap "munmap" SYS_mremap "mremap" SYS_mprotect "mprotect"
    SYS_madvise "madvise" SYS_msync "msync" SYS_brk "brk" SYS_membarrier "membarrier"
    SYS_sched_yield "sched_yield" SYS_ptrace "ptrace" SYS_getrandom "getrandom"
    SYS_keyctl "keyctl" SYS_request_key "request_key" SYS_bpf "bpf"
};

/// Calls that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[(c_long, &str)] = calls! {
    SYS_poll "poll" SYS_select "select" SYS_epoll_wait "epoll_wait" SYS_pause "pause"
    SYS_fork "fork" SYS_vfork "vfork" SYS_open "open" SYS_creat "creat" SYS_stat "stat"
    SYS_lstat "lstat" SYS_access "access" SYS_mkdir "mkdir" SYS_rmdir "rmdir"
    SYS_rename "rename" SYS_unlink "unlink" SYS_readlink "readlink" SYS_getdents "getdents"
    SYS_chmod "chmod" SYS_chown "chown"
};

#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[(c_long, &str)] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_names_of_their_manual_pages() {
        let number = |call: c_long| u32::try_from(call).unwrap();
        assert_eq!(name(number(libc::SYS_futex)), "futex");
        assert_eq!(name(number(libc::SYS_epoll_pwait)), "epoll_pwait");
        assert_eq!(name(u32::MAX), "");
        assert!(matches!(call_named("futex", [7; 4]), Some(Call::In { name: "futex", .. })));
        assert_eq!(call_named("", [0; 4]), None);
    }
}
