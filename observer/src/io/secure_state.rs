//! The file that keeps sealed sessions across restarts.
//!
//! It consists of a header and records of 32 bytes each. All of them are written when the file
//! is created, so that a full disk cannot refuse a record later. A record never crosses a disk
//! block and has a checksum; records are overwritten in place. Everything that was written
//! survives the end of the process, however it ends. If the host itself goes down, data that
//! the kernel had not written back yet may be lost.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use varta::crc32c;

use crate::judge::SealedSession;
use crate::sys;

const RECORD: usize = 32;

/// A child of a killed observer may hold the lock until it calls exec.
const FOR_THE_LOCK: Duration = Duration::from_secs(1);
const MAGIC: [u8; 16] = *b"varta sessions 1";

pub(crate) struct SecureState {
    file: File,
}

impl SecureState {
    /// Opens the file, or creates it with room for this many sessions. Returns the sessions in
    /// it, in their places.
    pub(crate) fn open(path: &Path, room: usize) -> io::Result<(Self, Vec<SealedSession>)> {
        open(path, room).map_err(|error| {
            let text = format!("cannot use secure state file {}: {error}", path.display());
            varta::internal::with_message(&error, text)
        })
    }

    /// Writes one session at its place.
    pub(crate) fn record(&self, place: usize, session: &SealedSession) -> io::Result<()> {
        let offset = (place as u64 + 1) * RECORD as u64;
        self.file.write_all_at(&encode(session), offset)
    }

    /// Writes the last accepted counters of these sessions and releases the file for another
    /// observer. If that fails, the sessions only lose some beats.
    pub(crate) fn close(&self, sessions: impl Iterator<Item = (usize, SealedSession)>) {
        for (place, session) in sessions {
            let _ = self.record(place, &session);
        }
        let _ = self.file.sync_data();
        sys::unlock(&self.file);
    }
}

fn open(path: &Path, room: usize) -> io::Result<(SecureState, Vec<SealedSession>)> {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(flags);
    let file = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path)?,
        made => made?,
    };
    let mut file = File::from(sys::past_the_standard_streams(file.into())?);
    check(&file)?;
    sys::lock(&file, FOR_THE_LOCK).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => {
            io::Error::new(ErrorKind::AddrInUse, "another observer is using it")
        }
        _ => error,
    })?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let sessions = decode(&bytes)?;
    let wanted = (room.max(sessions.len()) + 1) * RECORD;
    if bytes.len() < wanted {
        grow(&mut file, wanted - bytes.len())?;
    }
    if bytes.first().is_none_or(|byte| *byte == 0) {
        // The header is written last: a file without one counts as new.
        file.write_all_at(&header(), 0)?;
        file.sync_all()?;
        sync_folder(path)?;
    }
    Ok((SecureState { file }, sessions))
}

/// Appends this many zeros, so that the disk has room for what is written there later.
fn grow(file: &mut File, bytes: usize) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(bytes as u64), file)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Checks that no other user can have written the file, or can write it.
fn check(file: &File) -> io::Result<()> {
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(invalid("it is not a regular file".to_owned()));
    }
    let (owner, own) = (about.uid(), sys::effective_uid());
    if owner != own {
        let why = format!("it belongs to uid {owner}; run chown {own} on it");
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let why =
            format!("file mode {mode:04o} lets other users access it; run chmod 0600 on it");
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

fn header() -> [u8; RECORD] {
    let mut header = [0; RECORD];
    header[..16].copy_from_slice(&MAGIC);
    header
}

fn encode(session: &SealedSession) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&session.pid.to_le_bytes());
    record[4..12].copy_from_slice(&session.prefix);
    record[12..16].copy_from_slice(&session.counter.to_le_bytes());
    let checksum = crc32c(&record[..28]);
    record[28..].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// The sessions up to the last one. A place that was never written is an empty session with
/// pid 0.
fn decode(bytes: &[u8]) -> io::Result<Vec<SealedSession>> {
    let records: Vec<&[u8; RECORD]> =
        bytes.chunks_exact(RECORD).filter_map(|record| record.try_into().ok()).collect();
    let Some((first, records)) = records.split_first() else { return Ok(Vec::new()) };
    let last = records.iter().rposition(|record| **record != [0; RECORD]);
    let used = last.map_or(0, |last| last + 1);
    if **first != header() && (**first != [0; RECORD] || used > 0) {
        return Err(invalid("it is not a secure state file".to_owned()));
    }
    let used = records.iter().take(used).enumerate();
    used.map(|(place, record)| {
        session_in(record).ok_or_else(|| {
            invalid(format!(
                "record {place} is damaged; replace the keys of sealed UDP and remove the file"
            ))
        })
    })
    .collect()
}

fn session_in(record: &[u8; RECORD]) -> Option<SealedSession> {
    let &[a, b, c, d, p0, p1, p2, p3, p4, p5, p6, p7, e, f, g, h, ..] = record;
    let session = SealedSession {
        pid: u32::from_le_bytes([a, b, c, d]),
        prefix: [p0, p1, p2, p3, p4, p5, p6, p7],
        counter: u32::from_le_bytes([e, f, g, h]),
    };
    (*record == [0; RECORD] || *record == encode(&session)).then_some(session)
}

fn invalid(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::{Folder, is_root};

    fn session(pid: u32, counter: u32) -> SealedSession {
        SealedSession { pid, prefix: *b"8 random", counter }
    }

    fn text_of(opened: io::Result<(SecureState, Vec<SealedSession>)>) -> String {
        opened.map(|(_, sessions)| sessions).unwrap_err().to_string()
    }

    #[test]
    fn sessions_outlive_the_observer_in_their_places() {
        let folder = Folder::new();
        let path = folder.join("sessions");
        let (state, sessions) = SecureState::open(&path, 4).unwrap();
        assert_eq!(sessions, []);
        let about = std::fs::metadata(&path).unwrap();
        assert_eq!((about.mode() & 0o7777, about.len()), (0o600, 5 * 32));
        state.record(0, &session(50, 8)).unwrap();
        state.record(2, &session(51, 8)).unwrap();
        state.record(0, &session(50, 16)).unwrap();
        assert!(text_of(SecureState::open(&path, 4)).contains("another observer is using it"));
        drop(state);
        let (state, sessions) = SecureState::open(&path, 9).unwrap();
        let hole = SealedSession { pid: 0, prefix: [0; 8], counter: 0 };
        assert_eq!(sessions, [session(50, 16), hole, session(51, 8)]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 10 * 32, "the file can grow");
        drop(state);
        // The host went down while the file was created.
        std::fs::write(&path, [0; 50]).unwrap();
        assert_eq!(SecureState::open(&path, 4).unwrap().1, []);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 5 * 32);
    }

    #[test]
    fn a_file_that_cannot_be_trusted_is_refused() {
        let folder = Folder::new();
        let path = folder.join("sessions");
        let (state, _) = SecureState::open(&path, 4).unwrap();
        state.record(0, &session(50, 8)).unwrap();
        drop(state);
        let good = std::fs::read(&path).unwrap();
        for at in 0..64 {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, bad).unwrap();
            text_of(SecureState::open(&path, 4));
        }
        std::fs::write(&path, &good).unwrap();

        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(text_of(SecureState::open(&path, 4)).contains("file mode 0640"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(SecureState::open(&link, 4).map(drop).unwrap_err().kind(), {
            io::Error::from_raw_os_error(libc::ELOOP).kind()
        });
        if is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            assert!(text_of(SecureState::open(&path, 4)).contains("belongs to uid 65534"));
        }
    }
}
