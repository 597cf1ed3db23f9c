//! File systems and disks that do not answer.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::ptr;

use super::{Last, end_with_parent, forever};

/// Mounts of this process are its own from now on.
pub(crate) fn own_mounts() {
    // SAFETY: takes a number.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(unshared, 0, "{}", io::Error::last_os_error());
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: strings that end with zero, and nothing else is read.
    let made =
        unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null()) };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
}

/// A folder with the process id in its name.
fn folder(name: &str) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let folder = here.join(format!("{name}-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    folder
}

/// The head of a request and that of an answer.
const IN: usize = 40;
const OUT: usize = 16;

/// What is asked for.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const INIT: u32 = 26;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
const FORGET_MANY: u32 = 42;

/// A file system in user space whose server never answers, until a request is interrupted because
/// its process is being killed.
pub(crate) fn hung_folder() -> PathBuf {
    mount_served_by(|device| serve(device, None))
}

/// This program on a file system in user space, which answers until something is written to the
/// pipe.
pub(crate) fn program_that_hangs() -> (PathBuf, io::PipeWriter) {
    let program = File::open("/proc/self/exe").unwrap();
    let (hung, hang) = io::pipe().unwrap();
    let folder = mount_served_by(|device| serve(device, Some(&Program { program, hung })));
    (folder.join("program"), hang)
}

/// Executes a program while the close of a file that the program does not inherit is not answered.
/// Until this process is being killed, everybody waits who reads what it waits in, even `ps`.
pub(crate) fn in_an_exec_that_hangs(program: &mut Command) -> ! {
    let (path, mut hang) = program_that_hangs();
    let _file = File::open(path).unwrap();
    hang.write_all(b"!").unwrap();
    panic!("{}", program.exec());
}

fn mount_served_by(serve: impl FnOnce(File)) -> PathBuf {
    own_mounts();
    let folder = folder("fuse");
    let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0\0", device.as_raw_fd());
    let target = format!("{}\0", folder.display());
    // SAFETY: strings that end with zero.
    let mounted = unsafe {
        libc::mount(
            c"hung".as_ptr(),
            target.as_ptr().cast(),
            c"fuse.hung".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
    // SAFETY: the child uses nothing that another thread could have locked.
    if unsafe { libc::fork() } == 0 {
        end_with_parent();
        // SAFETY: sets a timer, in case nothing is interrupted.
        unsafe { libc::alarm(120) };
        serve(device);
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(0) };
    }
    folder
}

/// The only file of a file system, until it hangs.
struct Program {
    program: File,
    hung: io::PipeReader,
}

impl Program {
    fn is_hung(&self) -> bool {
        let mut asked =
            libc::pollfd { fd: self.hung.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which is ours.
        unsafe { libc::poll(&raw mut asked, 1, 0) != 0 }
    }

    /// What is answered to a request for the folder, which is node 1, or the program.
    fn answer(&self, kind: u32, node: u64, request: &[u8]) -> Result<Vec<u8>, i32> {
        match kind {
            LOOKUP if request.starts_with(b"program\0") => {
                // Node 2, which must be asked for again each time.
                Ok(bytes(&[2, 0, 0, 0, 0], &self.attributes(2)))
            }
            LOOKUP => Err(libc::ENOENT),
            GETATTR => Ok(bytes(&[0, 0], &self.attributes(node))),
            OPEN => Ok(bytes(&[0, 0], &[])),
            READ => {
                let word =
                    |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap());
                let mut content = vec![0; (word(16) & 0xffff_ffff).try_into().unwrap()];
                let count = self.program.read_at(&mut content, word(8)).unwrap();
                content.truncate(count);
                Ok(content)
            }
            _ => Err(libc::ENOSYS),
        }
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let length = self.program.metadata().unwrap().len();
        let mode: u32 = if node == 1 { 0o040_755 } else { 0o100_755 };
        let words = [0, 0, 0, mode, 1, 0, 0, 0, 4_096, 0];
        let words: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
        bytes(&[node, length, length / 512, 0, 0, 0], &words)
    }
}

fn bytes(words: &[u64], more: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).chain(more.iter().copied()).collect()
}

/// Answers what is needed to enter the folder, and for the program, if there is one.
fn serve(mut device: File, program: Option<&Program>) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count) = device.read(&mut buffer) {
        assert!(count >= IN);
        let kind = u32::from_ne_bytes(buffer[4..8].try_into().unwrap());
        let node = u64::from_ne_bytes(buffer[16..24].try_into().unwrap());
        let content = match (kind, program) {
            (FORGET | FORGET_MANY, _) => continue,
            (INTERRUPT, program) if program.is_none_or(Program::is_hung) => return,
            (INTERRUPT, _) => continue,
            // Version 7.31, no features, and the longest write.
            (INIT, _) => Ok(bytes(&[7 | 31 << 32, 0, 4_096 << 32], &[0; 40])),
            (_, Some(program)) if !program.is_hung() => {
                program.answer(kind, node, &buffer[IN..count])
            }
            // Not checked here, so everything is allowed.
            (ACCESS, _) => Err(libc::ENOSYS),
            _ => continue,
        };
        device.write_all(&answer(&buffer[8..16], &content)).unwrap();
    }
}

fn answer(request: &[u8], content: &Result<Vec<u8>, i32>) -> Vec<u8> {
    let (error, content) = match content {
        Ok(content) => (0, content.as_slice()),
        Err(error) => (-error, [].as_slice()),
    };
    let length = u32::try_from(OUT + content.len()).unwrap();
    [&length.to_ne_bytes(), &error.to_ne_bytes(), request, content].concat()
}

/// Asks a file system whose server does not answer.
pub(crate) fn on_a_hung_file_system(last: Last<'_>) {
    let file = hung_folder().join("file");
    last();
    let _ = fs::metadata(file);
    forever();
}

const FREEZE: libc::Ioctl = libc::_IOWR::<libc::c_int>(b'X' as u32, 119);
const THAW: libc::Ioctl = libc::_IOWR::<libc::c_int>(b'X' as u32, 120);

/// Writes to a file system that is frozen, as for a snapshot. It is thawed when this process is
/// being killed.
pub(crate) fn on_a_frozen_file_system(last: Last<'_>) {
    own_mounts();
    let folder = folder("frozen");
    let image = folder.with_extension("img");
    File::create_new(&image).unwrap().set_len(8 << 20).unwrap();
    let run = |command: &mut Command| {
        let done = command.output().unwrap();
        assert!(done.status.success(), "{command:?}: {done:?}");
    };
    run(Command::new("mkfs.ext4").args(["-q", "-F", "-O", "^has_journal"]).arg(&image));
    run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&folder));
    let root = File::open(&folder).unwrap();
    let mut file = File::create(folder.join("file")).unwrap();
    let pid = std::process::id();
    // SAFETY: the child uses nothing that another thread could have locked.
    if unsafe { libc::fork() } == 0 {
        thaw_when_killed(&root, pid);
    }
    // SAFETY: takes numbers alone.
    let frozen = unsafe { libc::ioctl(root.as_raw_fd(), FREEZE, 0) };
    assert_eq!(frozen, 0, "{}", io::Error::last_os_error());
    last();
    let _ = file.write_all(&[7; 4_096]);
    forever();
}

fn thaw_when_killed(root: &File, pid: u32) -> ! {
    for _ in 0..12_000 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let is_pending = |line: &str| {
            let (key, set) = line.split_once(':').unwrap_or_default();
            let set = u64::from_str_radix(set.trim(), 16).unwrap_or(0);
            matches!(key, "SigPnd" | "ShdPnd") && set & 1 << (libc::SIGKILL - 1) != 0
        };
        if status.is_empty() || status.contains("(zombie)") || status.lines().any(is_pending) {
            break;
        }
        std::thread::sleep(crate::support::ms(10));
    }
    // SAFETY: takes numbers alone.
    unsafe { libc::ioctl(root.as_raw_fd(), THAW, 0) };
    // SAFETY: ends this process at once.
    unsafe { libc::_exit(0) }
}

/// Reads from a disk of which its control group gets very little.
pub(crate) fn on_a_throttled_disk(last: Last<'_>) {
    const LENGTH: usize = 1 << 20;
    let name = format!("throttled-{}", std::process::id());
    fs::write(&name, vec![7; LENGTH]).unwrap();
    File::open(&name).unwrap().sync_all().unwrap();
    let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(&name).unwrap();
    let mut memory = vec![0; LENGTH + 4_096];
    let start = memory.as_ptr().align_offset(4_096);
    let buffer = &mut memory[start..start + LENGTH];
    last();
    loop {
        file.read_at(buffer, 0).unwrap();
    }
}
