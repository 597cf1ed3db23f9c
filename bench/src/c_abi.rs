//! The cost of the C ABI: the same calls through libvarta.so, compared with Rust and with
//! libsystemd's `sd_notify`.

#![allow(unsafe_code, reason = "calling C")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use varta::{Frame, Status};
use varta_observer::Observer;

use crate::lane::{self, Apart};
use crate::measure::{Contender, Group, Plan, Row, side_by_side};
use crate::receiver::Receiver;
use crate::report::{Figure, Findings, Target};
use crate::stage::Stage;

const BEAT: &str = "from C, uds";
const LANE: &str = "from C, lane";
const POLL: &str = "from C, a ready event with its send";
const RUST: &str = "varta, Rust";
const C: &str = "varta, C";
const SYSTEMD: &str = "sd_notify";

/// Events per call, so that the difference between the calls is larger than the clock's
/// resolution.
const EVENTS: u32 = 8;

pub(crate) const TARGETS: &[Target] = &[Target::median(BEAT, C, SYSTEMD, 0.15)];

type Open = unsafe extern "C" fn(*mut *mut c_void, *const c_char, *const c_void) -> c_int;
type Beat = unsafe extern "C" fn(*mut c_void, u8, u32) -> c_int;
type Poll = unsafe extern "C" fn(*mut c_void, *mut Room, c_int) -> c_int;
type Stats = unsafe extern "C" fn(*mut c_void, *mut Counters) -> c_int;
type Close = unsafe extern "C" fn(*mut c_void);
type Notify = unsafe extern "C" fn(c_int, *const c_char) -> c_int;

/// Room for an event.
#[repr(C, align(8))]
struct Room([u8; 128]);

/// `varta_agent_counters`.
#[repr(C)]
struct Counters {
    size: u32,
    reserved: u32,
    clock_regressions: u64,
    fork_recoveries: u64,
    watched_ns: u64,
}

/// A shared library, loaded for the rest of the run.
#[derive(Clone, Copy)]
struct Library(*mut c_void);

impl Library {
    fn load(name: &CStr) -> io::Result<Self> {
        // SAFETY: the library's constructors have no effect on this program.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return Err(io::Error::other(format!("cannot load {}", name.to_string_lossy())));
        }
        Ok(Self(library))
    }

    /// # Safety
    ///
    /// The function must have the type `F`.
    unsafe fn function<F: Copy>(self, name: &CStr) -> io::Result<F> {
        assert!(size_of::<F>() == size_of::<*mut c_void>());
        // SAFETY: the library stays loaded.
        let found = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if found.is_null() {
            return Err(io::Error::other(format!(
                "the library has no {}",
                name.to_string_lossy()
            )));
        }
        // SAFETY: the caller guarantees the type, which is as large as a pointer.
        Ok(unsafe { ptr::from_ref(&found).cast::<F>().read() })
    }
}

/// A handle that is closed when it is dropped.
struct Handle {
    handle: *mut c_void,
    close: Close,
}

impl Handle {
    fn open(library: Library, make: &CStr, end: &CStr, path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut handle = ptr::null_mut();
        // SAFETY: both functions that open a handle have this type in varta.h.
        let open = unsafe { library.function::<Open>(make)? };
        // SAFETY: both functions that close a handle have this type in varta.h.
        let close = unsafe { library.function::<Close>(end)? };
        // SAFETY: a valid place for the handle, a C string, and no options.
        match unsafe { open(&raw mut handle, path.as_ptr(), ptr::null()) } {
            0 => Ok(Self { handle, close }),
            code => Err(io::Error::from_raw_os_error(-code)),
        }
    }
}

impl Handle {
    /// A method, so that a closure that calls it captures the whole handle.
    fn get(&self) -> *mut c_void {
        self.handle
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and this is the last call with it.
        unsafe { (self.close)(self.handle) };
    }
}

pub(crate) fn all(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let built = build()?;
    let name = CString::new(built.as_os_str().as_bytes())?;
    let begun = Instant::now();
    let library = Library::load(&name)?;
    let loaded = begun.elapsed();
    let beats = beats(plan, stage, library)?;
    let lane = lane_beats(plan, stage, library)?;
    let polls = polls(plan, stage, library)?;
    let mut figures = vec![
        Figure::bytes("libvarta.so, stripped", stripped(&built, stage)?),
        Figure::new("libvarta.so, first load", loaded.as_secs_f64() * 1e6, "us"),
    ];
    figures.push(more(&beats, "beat from C, more than from Rust", 1.0, 15.0));
    figures.push(more(&lane, "lane beat from C, more than from Rust", 1.0, 5.0));
    figures.push(more(&polls, "poll from C, more than from Rust", f64::from(EVENTS), 30.0));
    Ok((vec![beats, lane, polls], figures))
}

/// How much longer a call takes from C than from Rust.
fn more(group: &Group, name: &str, each: f64, at_most: f64) -> Figure {
    let median = |name| group.row(name).map_or(f64::NAN, Row::median);
    Figure::new(name, (median(C) - median(RUST)) / each, "ns").at_most(at_most, true)
}

fn beats(plan: Plan, stage: &Stage, library: Library) -> io::Result<Group> {
    // SAFETY: the function has this type in varta.h.
    let beat = unsafe { library.function::<Beat>(c"varta_beat")? };
    let notify = systemd()?;
    side_by_side(BEAT, plan, || {
        let path = stage.path("c.sock")?;
        let receiver = Receiver::busy(stage, &path)?;
        let mut agent = varta::Varta::open(&path)?;
        let handle = Handle::open(library, c"varta_connect", c"varta_close", &path)?;
        // SAFETY: no other thread of this program reads or changes the environment.
        unsafe { std::env::set_var("NOTIFY_SOCKET", &path) };
        let mut contenders = vec![
            Contender::new(RUST, move || agent.beat(Status::Ok, 7) == varta::BeatOutcome::Sent),
            // SAFETY: the handle is open as long as its contender exists.
            Contender::new(C, move || unsafe { beat(handle.get(), 0, 7) } == 0),
        ];
        if let Some(notify) = notify {
            // SAFETY: a C string, and nothing changes the environment meanwhile.
            let call = move || unsafe { notify(0, c"WATCHDOG=1".as_ptr()) } > 0;
            contenders.push(Contender::new(SYSTEMD, call));
        }
        Ok((receiver, contenders))
    })
}

fn lane_beats(plan: Plan, stage: &Stage, library: Library) -> io::Result<Group> {
    // SAFETY: the function has this type in varta.h.
    let beat = unsafe { library.function::<Beat>(c"varta_beat")? };
    let plan = Plan { each: lane::EACH, set_ups: 1, ..plan };
    side_by_side(LANE, plan, || {
        let path = stage.path("c-lane.sock")?;
        let observer = Apart::start(&path, stage.receiver_cpu)?;
        let mut agent = lane::attached(&path)?;
        // This copy of the library has a page of its own.
        let handle = Handle::open(library, c"varta_connect", c"varta_close", &path)?;
        wait_for_page(library, &handle, beat)?;
        Ok((
            observer,
            vec![
                lane::repeated(RUST, move || {
                    agent.beat(Status::Ok, 7) == varta::BeatOutcome::Sent
                }),
                // SAFETY: the handle is open as long as its contender exists.
                lane::repeated(C, move || unsafe { beat(handle.get(), 0, 7) } == 0),
            ],
        ))
    })
}

/// Beats until the agent has a page.
fn wait_for_page(library: Library, handle: &Handle, beat: Beat) -> io::Result<()> {
    // SAFETY: the function has this type in varta.h.
    let stats = unsafe { library.function::<Stats>(c"varta_agent_stats")? };
    let (size, reserved) = (u32::try_from(size_of::<Counters>()).unwrap_or_default(), 0);
    let begun = Instant::now();
    while begun.elapsed() < lane::PATIENCE {
        let mut counters = Counters {
            size,
            reserved,
            clock_regressions: 0,
            fork_recoveries: 0,
            watched_ns: u64::MAX,
        };
        // SAFETY: the handle is open, and the struct is that of varta.h.
        if unsafe { stats(handle.get(), &raw mut counters) } == 0
            && counters.watched_ns != u64::MAX
        {
            return Ok(());
        }
        // SAFETY: the handle is open.
        let _ = unsafe { beat(handle.get(), 0, 7) };
        thread::sleep(lane::ASK);
    }
    Err(io::Error::other("the observer gave no page"))
}

/// `sd_notify`, if libsystemd is installed.
fn systemd() -> io::Result<Option<Notify>> {
    match Library::load(c"libsystemd.so.0") {
        // SAFETY: the function has this type in sd-daemon.h.
        Ok(library) => unsafe { library.function(c"sd_notify") }.map(Some),
        Err(_) => Ok(None),
    }
}

fn polls(plan: Plan, stage: &Stage, library: Library) -> io::Result<Group> {
    // SAFETY: the function has this type in varta.h.
    let poll = unsafe { library.function::<Poll>(c"varta_observer_poll")? };
    side_by_side(POLL, plan, || {
        let (rust, c) = (stage.path("rust-poll.sock")?, stage.path("c-poll.sock")?);
        let mut observer = Observer::bind(&rust, Duration::from_secs(3600), 0o600)?;
        let handle =
            Handle::open(library, c"varta_observer_bind", c"varta_observer_close", &c)?;
        let (to_rust, to_c) = (sender(&rust)?, sender(&c)?);
        let mut room = MaybeUninit::<Room>::uninit();
        Ok((
            (),
            vec![
                Contender::new(RUST, move || {
                    to_rust()
                        && (0..EVENTS).all(|_| {
                            matches!(observer.poll_timeout(Duration::ZERO), Ok(Some(_)))
                        })
                }),
                Contender::new(C, move || {
                    to_c()
                        // SAFETY: the handle is open, and there is room for an event.
                        && (0..EVENTS).all(|_| unsafe {
                            poll(handle.get(), room.as_mut_ptr(), 0)
                        } == 1)
                }),
            ],
        ))
    })
}

/// Returns a function that sends as many frames as one call polls.
fn sender(path: &Path) -> io::Result<impl Fn() -> bool + use<>> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    let mut wire = [0; 32];
    Frame::new(Status::Ok, std::process::id(), 0, 1, 0).encode(&mut wire);
    Ok(move || (0..EVENTS).all(|_| socket.send(&wire).is_ok()))
}

/// Builds the library as it is distributed.
fn build() -> io::Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--locked", "--package", "varta-ffi"])
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(io::Error::other("building libvarta.so failed"));
    }
    target.join("release/libvarta.so").canonicalize()
}

fn stripped(library: &Path, stage: &Stage) -> io::Result<usize> {
    let copy = stage.path("stripped.so")?;
    let status = Command::new("strip")
        .arg("--strip-unneeded")
        .arg("-o")
        .arg(&copy)
        .arg(library)
        .status()?;
    if !status.success() {
        return Err(io::Error::other("strip failed"));
    }
    usize::try_from(copy.metadata()?.len()).map_err(io::Error::other)
}
