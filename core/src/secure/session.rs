//! What keeps AEAD nonces from repeating: a salt per session, a prefix derived from it,
//! and a counter.

use std::io;

use super::{Cipher, Iv, Key, MASTER_BYTES, SHARED_BYTES, derive_agent_key, derive_iv_prefix};
use crate::fork::{Memory, Process};
use crate::frame::FRAME_BYTES;
use crate::sys;

/// The key an agent was given.
#[derive(Debug)]
pub(crate) enum Secret {
    Shared(Key),
    Master(Key),
}

impl Secret {
    /// The cipher for what a process sends. With a master key each process has its own.
    pub(crate) fn cipher(&self, pid: u32) -> io::Result<Cipher> {
        match self {
            Self::Shared(key) => Ok(Cipher::new(key)),
            Self::Master(key) => {
                let key = derive_agent_key(key, pid).map_err(io::Error::other)?;
                Ok(Cipher::new(&key))
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

/// One session of one process. It seals nothing in a child of that process.
#[derive(Debug)]
pub(crate) struct Session {
    memory: &'static Memory,
    process: Process,
    cipher: Cipher,
    salt: [u8; 16],
    prefix_index: u32,
    next: Iv,
}

impl Session {
    /// Asks for entropy once.
    pub(crate) fn new(secret: &Secret) -> io::Result<Self> {
        let memory = Memory::of_process()?;
        let process = memory.process().ok_or(io::ErrorKind::WouldBlock)?;
        let mut salt = [0; 16];
        sys::entropy(&mut salt)?;
        Ok(Self {
            memory,
            process,
            cipher: secret.cipher(process.pid())?,
            salt,
            prefix_index: 0,
            next: Iv { prefix: prefix(&salt, 0)?, counter: 1 },
        })
    }

    /// Whether this process is the one whose session it is.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.memory.is_still(self.process)
    }

    /// Seals with an AEAD nonce that no other seal has or will have.
    pub(crate) fn seal(
        &mut self,
        secret: &Secret,
        frame: &[u8; FRAME_BYTES],
    ) -> io::Result<Sealed> {
        let iv = self.take_iv()?;
        Sealed::seal(secret, &self.cipher, self.process.pid(), iv, frame)
    }

    /// The step to the next one is made before this one is used: whatever goes wrong
    /// afterwards costs a gap and never a repetition.
    fn take_iv(&mut self) -> io::Result<Iv> {
        let taken = self.next;
        self.next = match taken.counter.checked_add(1) {
            Some(counter) => Iv { counter, ..taken },
            None => {
                // After 2^32 prefixes of 2^32 seals each there is no next session here.
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
    fn counts_from_one() {
        let secret = Secret::Shared(Key::from_bytes([1; 32]));
        let mut session = Session::new(&secret).unwrap();
        let ivs: Vec<_> =
            (0..3).map(|_| iv_of(&session.seal(&secret, &frame()).unwrap())).collect();
        assert_eq!(ivs.iter().map(|iv| iv.counter).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(ivs.iter().all(|iv| iv.prefix == ivs[0].prefix));
    }

    #[test]
    fn a_counter_about_to_wrap_takes_a_new_prefix() {
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
    fn the_last_prefix_is_the_end() {
        let secret = Secret::Shared(Key::from_bytes([1; 32]));
        let mut session = Session::new(&secret).unwrap();
        session.prefix_index = u32::MAX;
        session.next.counter = u32::MAX;
        assert!(session.seal(&secret, &frame()).is_err());
        assert!(session.seal(&secret, &frame()).is_err());
    }
}
