//! Makes sure that no AEAD nonce repeats: each session has a random salt, a prefix derived
//! from the salt, and a counter.

use std::io;

use super::{
    Cipher, Iv, Key, MASTER_BYTES, SHARED_BYTES, derive_agent_bytes, derive_iv_prefix,
    wipe_stack,
};
use crate::fork::{ForkGuard, Process};
use crate::frame::FRAME_BYTES;
use crate::sys;

/// The key that an agent was given.
#[derive(Debug)]
pub(crate) enum Secret {
    Shared(Key),
    Master(Key),
}

impl Secret {
    /// The cipher for the datagrams of a process. Making it allocates nothing but leaves
    /// traces of the key on the stack.
    #[cfg(feature = "panic-handler")]
    pub(crate) fn cipher(&self, pid: u32) -> io::Result<Cipher> {
        self.with_key(pid, Cipher::of_bytes)
    }

    /// Calls `work` with the key of a process. With a master key, each process has its own.
    fn with_key<T>(&self, pid: u32, work: impl FnOnce(&[u8; 32]) -> T) -> io::Result<T> {
        match self {
            Self::Shared(key) => Ok(work(key.as_bytes())),
            Self::Master(key) => {
                let key = derive_agent_bytes(key.as_bytes(), pid).map_err(io::Error::other)?;
                Ok(work(&key))
            }
        }
    }
}

/// A sealed frame in either form.
pub(crate) enum Sealed {
    Shared([u8; SHARED_BYTES]),
    Master([u8; MASTER_BYTES]),
}

impl Sealed {
    pub(crate) fn seal(
        secret: &Secret,
        cipher: &Cipher,
        pid: u32,
        iv: Iv,
        frame: &[u8; FRAME_BYTES],
    ) -> io::Result<Self> {
        match secret {
            Secret::Shared(_) => cipher.seal(iv, frame).map(Self::Shared),
            Secret::Master(_) => cipher.seal_as(pid, iv, frame).map(Self::Master),
        }
        .map_err(io::Error::other)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Shared(wire) => wire,
            Self::Master(wire) => wire,
        }
    }
}

/// The sealing session of one process. A child of that process must not use it.
#[derive(Debug)]
pub(crate) struct Session {
    fork_guard: &'static ForkGuard,
    process: Process,
    cipher: Box<Cipher>,
    salt: [u8; 16],
    prefix_index: u32,
    next: Iv,
}

impl Session {
    /// Reads entropy once.
    pub(crate) fn new(secret: &Secret) -> io::Result<Self> {
        let fork_guard = ForkGuard::of_process()?;
        let (process, salt, next) = begin(fork_guard)?;
        let cipher = secret.with_key(process.pid(), Cipher::boxed)?;
        Ok(Self { fork_guard, process, cipher, salt, prefix_index: 0, next })
    }

    /// Turns this into a new session of the calling process. It allocates nothing, because
    /// allocating may not be safe in a forked child. If it fails, the session is unchanged.
    pub(crate) fn renew(&mut self, secret: &Secret) -> io::Result<()> {
        let (process, salt, next) = begin(self.fork_guard)?;
        secret.with_key(process.pid(), |key| self.cipher.replace(key))?;
        (self.process, self.salt, self.prefix_index, self.next) = (process, salt, 0, next);
        Ok(())
    }

    /// Whether the session belongs to the calling process.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.fork_guard.is_still(self.process)
    }

    /// Seals a frame with an AEAD nonce that is never used again.
    pub(crate) fn seal(
        &mut self,
        secret: &Secret,
        frame: &[u8; FRAME_BYTES],
    ) -> io::Result<Sealed> {
        let iv = self.take_iv()?;
        Sealed::seal(secret, &self.cipher, self.process.pid(), iv, frame)
    }

    /// Advances the counter before the IV is used: an error afterwards leaves a gap and never
    /// a repetition.
    fn take_iv(&mut self) -> io::Result<Iv> {
        let taken = self.next;
        self.next = match taken.counter.checked_add(1) {
            Some(counter) => Iv { counter, ..taken },
            None => {
                // All 2^32 prefixes, each with 2^32 - 1 counters, are used up.
                let index = self
                    .prefix_index
                    .checked_add(1)
                    .ok_or(io::Error::from(io::ErrorKind::QuotaExceeded))?;
                let next = Iv { prefix: prefix(&self.salt, index)?, counter: 1 };
                self.prefix_index = index;
                next
            }
        };
        Ok(taken)
    }
}

/// The process, the salt and the first IV of a new session.
fn begin(fork_guard: &ForkGuard) -> io::Result<(Process, [u8; 16], Iv)> {
    let process = fork_guard.process().ok_or(io::ErrorKind::WouldBlock)?;
    let mut salt = [0; 16];
    sys::entropy(&mut salt)?;
    Ok((process, salt, Iv { prefix: prefix(&salt, 0)?, counter: 1 }))
}

impl Drop for Session {
    fn drop(&mut self) {
        // Sealing has left traces of the key on the stack.
        wipe_stack();
    }
}

fn prefix(salt: &[u8; 16], index: u32) -> io::Result<[u8; 8]> {
    derive_iv_prefix(salt, index).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::status::Status;

    fn frame() -> [u8; 32] {
        let mut wire = [0; 32];
        Frame::new(Status::Ok, std::process::id(), 0, 1, 0).encode(&mut wire);
        wire
    }

    fn iv_of(sealed: &Sealed) -> Iv {
        let at = sealed.as_bytes().len() - 48 - 12;
        Iv::from_bytes(sealed.as_bytes()[at..at + 12].try_into().unwrap())
    }

    #[test]
    fn the_counter_starts_at_one() {
        let secret = Secret::Shared(Key::from_bytes([1; 32]));
        let mut session = Session::new(&secret).unwrap();
        let ivs: Vec<_> =
            (0..3).map(|_| iv_of(&session.seal(&secret, &frame()).unwrap())).collect();
        assert_eq!(ivs.iter().map(|iv| iv.counter).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(ivs.iter().all(|iv| iv.prefix == ivs[0].prefix));
    }

    #[test]
    fn a_counter_that_would_wrap_starts_a_new_prefix() {
        for secret in
            [Secret::Shared(Key::from_bytes([1; 32])), Secret::Master(Key::from_bytes([1; 32]))]
        {
            let mut session = Session::new(&secret).unwrap();
            let first = session.next.prefix;
            session.next.counter = u32::MAX - 1;
            let ivs: Vec<_> =
                (0..4).map(|_| iv_of(&session.seal(&secret, &frame()).unwrap())).collect();
            let second = derive_iv_prefix(&session.salt, 1).unwrap();
            assert_ne!(first, second);
            assert_eq!(
                ivs,
                [(first, u32::MAX - 1), (first, u32::MAX), (second, 1), (second, 2)]
                    .map(|(prefix, counter)| Iv { prefix, counter })
            );
        }
    }

    #[test]
    fn sealing_fails_after_the_last_prefix() {
        let secret = Secret::Shared(Key::from_bytes([1; 32]));
        let mut session = Session::new(&secret).unwrap();
        session.prefix_index = u32::MAX;
        session.next.counter = u32::MAX;
        assert!(session.seal(&secret, &frame()).is_err());
        assert!(session.seal(&secret, &frame()).is_err());
    }
}
