//! Filters that forbid a process system calls, or answer in the kernel's stead.

use std::io::Error;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7; // AUDIT_ARCH_AARCH64

// Where `struct seccomp_data` has them.
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;

const LONGEST: usize = 32;

/// From now on any system call but the allowed ones kills this process with SIGSYS.
pub(crate) fn confine(allowed: &[libc::c_long]) {
    install(allowed, answer(SECCOMP_RET_ALLOW), answer(SECCOMP_RET_KILL_PROCESS));
}

/// From now on this system call does nothing and fails with the errno, or with 0 claims
/// that it has done it.
pub(crate) fn forge(call: libc::c_long, errno: libc::c_int) {
    let answered = answer(SECCOMP_RET_ERRNO | errno.unsigned_abs());
    install(&[call], answered, answer(SECCOMP_RET_ALLOW));
}

fn install(calls: &[libc::c_long], for_them: sock_filter, for_others: sock_filter) {
    // On the stack, so that nothing is left to be freed under the filter.
    let mut program = [answer(SECCOMP_RET_KILL_PROCESS); LONGEST];
    let mut places = program.iter_mut();
    let mut length = 0;
    let mut push = |instruction| {
        *places.next().expect("room for all of them") = instruction;
        length += 1;
    };
    // Each architecture numbers its calls in its own way.
    push(load(ARCHITECTURE_OFFSET));
    push(jump(ARCHITECTURE, 1, 0));
    push(answer(SECCOMP_RET_KILL_PROCESS));
    push(load(NUMBER_OFFSET));
    for call in calls {
        push(jump(u32::try_from(*call).unwrap(), 0, 1));
        push(for_them);
    }
    push(for_others);

    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers alone.
    let promised = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(promised, 0, "no_new_privs: {}", Error::last_os_error());
    // SAFETY: points to a program of the given length that lives until the call returns.
    let set = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(set, 0, "seccomp: {}", Error::last_os_error());
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

/// Skips as many instructions as are given for either case.
fn jump(value: u32, if_equal: u8, if_not: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JEQ | BPF_K, value, if_equal, if_not)
}

fn answer(value: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, value, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k }
}
