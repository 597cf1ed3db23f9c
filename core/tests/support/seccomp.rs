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
/// The lower half of the third argument.
const OPTION_OFFSET: u32 = if cfg!(target_endian = "little") { 32 } else { 36 };

const LONGEST: usize = 32;

/// From now on any system call but the allowed ones kills this process with SIGSYS.
pub(crate) fn confine(allowed: &[libc::c_long]) {
    let allow =
        allowed.iter().flat_map(|call| [jump(number(*call), 0, 1), answer(SECCOMP_RET_ALLOW)]);
    install(allow.chain([answer(SECCOMP_RET_KILL_PROCESS)]));
}

/// From now on this system call does nothing and fails with the errno, or with 0 claims
/// that it has done it.
pub(crate) fn forge(call: libc::c_long, errno: libc::c_int) {
    install([jump(number(call), 0, 1), refusal(errno), answer(SECCOMP_RET_ALLOW)].into_iter());
}

/// From now on the kernel does not know this socket option, for this thread and those that
/// it starts.
pub(crate) fn forget_socket_option(option: libc::c_int) {
    install(
        [
            jump(number(libc::SYS_setsockopt), 0, 3),
            load(OPTION_OFFSET),
            jump(option.unsigned_abs(), 0, 1),
            refusal(libc::ENOPROTOOPT),
            answer(SECCOMP_RET_ALLOW),
        ]
        .into_iter(),
    );
}

/// Installs a filter that begins with the number of the call loaded.
fn install(filter: impl Iterator<Item = sock_filter>) {
    // On the stack, so that nothing is left to be freed under the filter.
    let mut program = [answer(SECCOMP_RET_KILL_PROCESS); LONGEST];
    let mut places = program.iter_mut();
    let mut length = 0;
    // Each architecture numbers its calls in its own way.
    let beginning = [
        load(ARCHITECTURE_OFFSET),
        jump(ARCHITECTURE, 1, 0),
        answer(SECCOMP_RET_KILL_PROCESS),
        load(NUMBER_OFFSET),
    ];
    for instruction in beginning.into_iter().chain(filter) {
        *places.next().expect("room for all of them") = instruction;
        length += 1;
    }

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

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap()
}

fn refusal(errno: libc::c_int) -> sock_filter {
    answer(SECCOMP_RET_ERRNO | errno.unsigned_abs())
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
