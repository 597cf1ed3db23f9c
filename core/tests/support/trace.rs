//! Counts the system calls of a child by tracing it.

use std::collections::BTreeMap;
use std::io::Error;

use super::Child;

/// The beginning of `struct ptrace_syscall_info`. The first word has the kind of the stop,
/// and the fourth the number of the call.
type SyscallInfo = [u64; 11];

#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

const GET_SYSCALL_INFO: Request = 0x420e;
const ENTRY: u8 = 1;

/// A system call that the code under test never makes.
const MARK: libc::c_long = libc::SYS_getppid;

/// Counts the system calls of the closure that `prepare` returns. Both run in a forked child.
/// `meanwhile` is called between any two calls.
#[track_caller]
pub(crate) fn system_calls_of<R: FnMut()>(
    prepare: impl FnOnce() -> R,
    mut meanwhile: impl FnMut(),
) -> BTreeMap<libc::c_long, usize> {
    let mark = || {
        // SAFETY: has no arguments and cannot fail.
        unsafe { libc::syscall(MARK) };
    };
    let mut child = Child::start(|| {
        // SAFETY: lets the parent trace this process; the arguments are ignored.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) }, 0);
        // SAFETY: stops this process until the parent resumes it.
        unsafe { libc::raise(libc::SIGSTOP) };
        let mut run = prepare();
        mark();
        run();
        mark();
    });

    assert_eq!(child.wait_for_stop(), libc::SIGSTOP);
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    trace(libc::PTRACE_SETOPTIONS, &child, 0, options.unsigned_abs() as usize);
    let (mut calls, mut marks) = (BTreeMap::new(), 0);
    let mut signal = 0;
    while marks < 2 {
        trace(libc::PTRACE_SYSCALL, &child, 0, signal);
        signal = match child.wait_for_stop() {
            stop if stop == libc::SIGTRAP | 0x80 => 0,
            signal => signal.unsigned_abs() as usize,
        };
        if signal == 0 {
            let mut info: SyscallInfo = [0; 11];
            trace(
                GET_SYSCALL_INFO,
                &child,
                size_of::<SyscallInfo>(),
                (&raw mut info).expose_provenance(),
            );
            let [kind, _, _, call, ..] = info;
            if kind.to_ne_bytes()[0] == ENTRY {
                match libc::c_long::try_from(call).unwrap() {
                    MARK => marks += 1,
                    call if marks == 1 => *calls.entry(call).or_default() += 1,
                    _ => {}
                }
            }
            meanwhile();
        }
    }
    trace(libc::PTRACE_DETACH, &child, 0, 0);
    child.finish();
    calls
}

#[track_caller]
fn trace(request: Request, child: &Child, address: usize, data: usize) {
    // SAFETY: `data` is a number, or for GET_SYSCALL_INFO a buffer of `address` bytes.
    let done = unsafe { libc::ptrace(request, child.pid, address, data) };
    assert!(done >= 0, "ptrace({request:#x}): {}", Error::last_os_error());
}
