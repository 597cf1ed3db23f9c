//! Filters that forbid system calls to a process, or replace their result.

use std::io::Error;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7; // AUDIT_ARCH_AARCH64

// Offsets in `struct seccomp_data`.
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
/// The lower half of the third argument.
const OPTION_OFFSET: u32 = if cfg!(target_endian = "little") { 32 } else { 36 };

const LONGEST: usize = 32;

/// Makes every system call except the allowed ones kill this process with SIGSYS.
pub(crate) fn confine(allowed: &[libc::c_long]) {
    let allow =
        allowed.iter().flat_map(|call| [jump(number(*call), 0, 1), result(SECCOMP_RET_ALLOW)]);
    install(allow.chain([result(SECCOMP_RET_KILL_PROCESS)]));
}

/// Makes this system call do nothing and fail with the errno, or pretend to succeed if the
/// errno is 0.
pub(crate) fn forge(call: libc::c_long, errno: libc::c_int) {
    install([jump(number(call), 0, 1), refusal(errno), result(SECCOMP_RET_ALLOW)].into_iter());
}

/// Makes this socket option unknown, for this thread and those that it starts.
pub(crate) fn forget_socket_option(option: libc::c_int) {
    install(
        [
            jump(number(libc::SYS_setsockopt), 0, 3),
            load(OPTION_OFFSET),
            jump(option.unsigned_abs(), 0, 1),
            refusal(libc::ENOPROTOOPT),
            result(SECCOMP_RET_ALLOW),
        ]
        .into_iter(),
    );
}

/// Installs a filter, which is run with the number of the call loaded.
fn install(filter: impl Iterator<Item = sock_filter>) {
    // On the stack, so that nothing has to be freed once the filter is active.
    let mut program = [result(SECCOMP_RET_KILL_PROCESS); LONGEST];
    let mut places = program.iter_mut();
    let mut length = 0;
    // System call numbers depend on the architecture.
    let beginning = [
        load(ARCHITECTURE_OFFSET),
        jump(ARCHITECTURE, 1, 0),
        result(SECCOMP_RET_KILL_PROCESS),
        load(NUMBER_OFFSET),
    ];
    for instruction in beginning.into_iter().chain(filter) {
        *places.next().expect("room for all of them") = instruction;
        length += 1;
    }

    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: all arguments are numbers.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0, "no_new_privs: {}", Error::last_os_error());
    // SAFETY: points to a program of the given length that outlives the call.
    let set = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(set, 0, "seccomp: {}", Error::last_os_error());
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap()
}

fn refusal(errno: libc::c_int) -> sock_filter {
    result(SECCOMP_RET_ERRNO | errno.unsigned_abs())
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

/// Skips `if_equal` or `if_not` instructions.
fn jump(value: u32, if_equal: u8, if_not: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JEQ | BPF_K, value, if_equal, if_not)
}

fn result(value: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, value, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k }
}
