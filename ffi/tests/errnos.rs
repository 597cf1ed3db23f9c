//! Every error code in the header occurs in a test.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::ptr;

use super::support::{Child, Ended, Folder, Observer, alone, init, text};
use crate::agent::*;
use crate::crash::varta_install_crash_handler;
use crate::errors::VARTA_EKEY;
use crate::observer::options::varta_observer_options;
use crate::observer::polling::*;
use crate::observer::*;

/// The codes that other tests cover.
const ELSEWHERE: [&str; 9] = [
    "EINVAL",       // nulls, numbers
    "E2BIG",        // sizes
    "EBUSY",        // sharing
    "VARTA_EPANIC", // panics
    "ECHILD",       // forks
    "ESRCH",        // whole
    "EBADMSG",      // nulls
    "EADDRINUSE",   // whole
    "ENOSPC",       // tasks
];

fn connect(endpoint: &str, flags: u32) -> i32 {
    let mut options: varta_agent_options = init();
    options.flags = flags;
    let (endpoint, mut agent) = (text(endpoint), ptr::null_mut());
    let code = unsafe { varta_connect(&raw mut agent, endpoint.as_ptr(), &raw const options) };
    unsafe { varta_close(agent) };
    code.number()
}

fn bind(endpoint: &str) -> (i32, String) {
    let mut message = [0_u8; 300];
    let mut options: varta_observer_options = init();
    options.message = message.as_mut_ptr().cast();
    options.message_size = message.len();
    let (endpoint, mut observer) = (text(endpoint), ptr::null_mut());
    let code = unsafe {
        varta_observer_bind(&raw mut observer, endpoint.as_ptr(), &raw const options)
    };
    unsafe { varta_observer_close(observer) };
    let length = message.iter().position(|byte| *byte == 0).unwrap();
    (code.number(), String::from_utf8_lossy(&message[..length]).into_owned())
}

fn install(endpoint: &str) -> i32 {
    unsafe { varta_install_crash_handler(text(endpoint).as_ptr(), 0) }.number()
}

/// The codes in the header's comments, without the minus sign.
fn codes_in_header() -> BTreeSet<String> {
    let header = include_str!("../../include/varta.h");
    let mut names = BTreeSet::new();
    for line in header.lines().filter(|line| line.starts_with(" *")) {
        for word in line.split([' ', ',', ';', ':', '(', ')', '.']) {
            let bare = word.strip_prefix('-').or(word.starts_with("VARTA_E").then_some(word));
            let code = |bare: &&str| {
                bare.starts_with(['E', 'V'])
                    && !bare.contains("EVENT")
                    && !bare.starts_with("VARTA_ENDED_")
                    && !bare.ends_with('_')
                    && bare
                        .chars()
                        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            };
            names.extend(
                bare.filter(code).filter(|b| b.len() > 3 && *b != "VARTA_E").map(str::to_owned),
            );
        }
    }
    names.remove("VARTA_ENDPOINT");
    names
}

#[test]
fn every_error_code_in_the_header_can_occur() {
    alone(provoke_every_error_code);
}

fn provoke_every_error_code() {
    let folder = Folder::new();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut provoked: BTreeSet<String> = ELSEWHERE.map(str::to_owned).into();
    let mut expect = |name: &str, code: i32, answers: &[i32]| {
        for answer in answers {
            assert_eq!(*answer, code, "{name}");
        }
        provoked.insert(name.to_owned());
    };
    const NO_FOLLOW: u32 = VARTA_AGENT_NO_FOLLOW;

    let nobody = path("nobody.sock");
    let (code, message) = bind(&path("nowhere/varta.sock"));
    assert!(message.contains("nowhere does not exist"), "{message}");
    let sealed = |key: &str| format!("udp+secure://127.0.0.1:9?key-file={key}");
    expect(
        "ENOENT",
        -libc::ENOENT,
        &[connect(&nobody, NO_FOLLOW), install(&nobody), code, connect(&sealed("/nowhere"), 0)],
    );
    let dead = path("dead.sock");
    drop(std::os::unix::net::UnixDatagram::bind(&dead).unwrap());
    expect("ECONNREFUSED", -libc::ECONNREFUSED, &[connect(&dead, NO_FOLLOW), install(&dead)]);

    let (open, short) = (path("open.key"), path("short.key"));
    std::fs::write(&open, "07".repeat(32)).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&short, "07").unwrap();
    std::fs::set_permissions(&short, std::fs::Permissions::from_mode(0o600)).unwrap();
    let keys = |key| [connect(&sealed(key), 0), bind(&sealed(key)).0, install(&sealed(key))];
    expect("EACCES", -libc::EACCES, &keys(&open));
    expect("VARTA_EKEY", VARTA_EKEY, &keys(&short));

    let file = path("file");
    std::fs::write(&file, "").unwrap();
    let (code, message) = bind(&file);
    assert!(message.contains("not a socket"), "{message}");
    expect("EEXIST", -libc::EEXIST, &[code]);

    let simulated = Observer::simulate(&init());
    let bound = Observer::bind(&folder.socket());
    let unsupported = unsafe {
        [
            varta_observer_fd(simulated.0),
            varta_observer_timeout_ms(simulated.0),
            varta_observer_advice(simulated.0, [0; 9].as_mut_ptr(), 9),
            varta_observer_listen(simulated.0, c"@x".as_ptr()),
            crate::simulated::varta_observer_feed(bound.0, 0, &init()),
            crate::simulated::varta_observer_feed_exit(bound.0, 0, 2, 0, 0),
            crate::simulated::varta_observer_feed_late(bound.0, 0, 0),
            crate::simulated::varta_observer_feed_suspended(bound.0, 0, 0),
            crate::simulated::varta_observer_advance(bound.0, 0, 0),
            waking::varta_observer_wake(simulated.0),
        ]
    };
    expect("EOPNOTSUPP", -libc::EOPNOTSUPP, &unsupported.map(|code| code.number()));

    let mut frame = unsafe { std::mem::zeroed() };
    let decode = |length| unsafe {
        crate::codec::varta_frame_decode(&raw mut frame, [0; 64].as_ptr(), length, 2).number()
    };
    expect("EMSGSIZE", -libc::EMSGSIZE, &[0, 31, 33, 64].map(decode));

    let child = Child::start(|| {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) };
        let answers = [
            connect(&folder.socket().into_string().unwrap(), 0),
            bind(&nobody).0,
            install(&folder.socket().into_string().unwrap()),
        ];
        answers.iter().filter(|answer| **answer != -libc::EMFILE).count() as i32
    });
    assert_eq!(child.ended(), Ended::Exited(0));
    expect("EMFILE", -libc::EMFILE, &[]);

    let child = Child::start(|| {
        let little = libc::rlimit { rlim_cur: 2 << 30, rlim_max: 2 << 30 };
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const little) };
        let mut options: varta_observer_options = init();
        options.capacity = 1 << 28;
        let (endpoint, mut observer) = (text(&nobody), ptr::null_mut());
        let answers = unsafe {
            [
                varta_observer_bind(&raw mut observer, endpoint.as_ptr(), &raw const options),
                crate::simulated::varta_observer_simulate(
                    &raw mut observer,
                    &raw const options,
                ),
            ]
        };
        answers.iter().filter(|answer| answer.number() != -libc::ENOMEM).count() as i32
    });
    assert_eq!(child.ended(), Ended::Exited(0));
    expect("ENOMEM", -libc::ENOMEM, &[]);

    let child = Child::start(|| {
        extern "C" fn nothing(_: i32) {}
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = nothing as *const () as usize;
        unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) };
        let observer = Observer::bind(&text(&nobody));
        let often = libc::timeval { tv_sec: 0, tv_usec: 10_000 };
        let timer = libc::itimerval { it_interval: often, it_value: often };
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
        let mut event = unsafe { std::mem::zeroed() };
        let poll = unsafe { varta_observer_poll(observer.0, &raw mut event, -1) }.number();
        let many = unsafe { varta_observer_poll_many(observer.0, &raw mut event, 1, -1) };
        i32::from([poll, many.number()] != [-libc::EINTR; 2])
    });
    assert_eq!(child.ended(), Ended::Exited(0));
    expect("EINTR", -libc::EINTR, &[]);

    assert_eq!(provoked, codes_in_header());
}
