//! Seals frames and opens sealed ones.

use core::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use zeroize::Zeroize;

use super::key::Key;
use crate::frame::FRAME_BYTES;
use crate::sys::Wiped;

/// The length of a frame sealed with a shared key.
pub const SHARED_BYTES: usize = 60;

/// The length of a frame sealed with an agent's own key, derived from a master key.
pub const MASTER_BYTES: usize = 64;

const TAG_BYTES: usize = 16;
const PID_BYTES: usize = MASTER_BYTES - SHARED_BYTES;

/// The AEAD nonce of a sealed frame. It must never be used twice with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Iv {
    /// The prefix of the session, derived from its random salt.
    pub prefix: [u8; 8],
    /// Counts the frames sealed with this prefix.
    pub counter: u32,
}

impl Iv {
    /// The twelve bytes on the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.prefix);
        bytes[8..].copy_from_slice(&self.counter.to_le_bytes());
        bytes
    }

    /// Reads the twelve bytes on the wire.
    ///
    /// ```
    /// use varta::secure::Iv;
    ///
    /// let iv = Iv { prefix: [1; 8], counter: 99 };
    /// assert_eq!(Iv::from_bytes(iv.to_bytes()), iv);
    /// ```
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        let [p0, p1, p2, p3, p4, p5, p6, p7, c0, c1, c2, c3] = bytes;
        Self {
            prefix: [p0, p1, p2, p3, p4, p5, p6, p7],
            counter: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }
}

/// A key that is ready for sealing and opening. It is wiped when dropped and never printed.
///
/// ```
/// use varta::secure::{AuthError, Cipher, Iv, Key};
///
/// let cipher = Cipher::new(&Key::from_bytes([9; 32]));
/// let iv = Iv { prefix: *b"session!", counter: 1 };
/// let mut wire = cipher.seal(iv, &[0; 32]).unwrap();
/// assert_eq!(cipher.open(&wire), Ok([0; 32]));
///
/// wire[30] ^= 1;
/// assert_eq!(cipher.open(&wire), Err(AuthError));
/// ```
pub struct Cipher(Wiped<LessSafeKey>);

impl Cipher {
    /// Prepares a key.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self::of_bytes(key.as_bytes())
    }

    /// As [`new`](Self::new), from the bytes of a key.
    #[doc(hidden)]
    #[must_use]
    pub fn of_bytes(key: &[u8; 32]) -> Self {
        match UnboundKey::new(&CHACHA20_POLY1305, key) {
            Ok(key) => Self(Wiped::new(LessSafeKey::new(key))),
            // This fails only for keys that are not 32 bytes long.
            Err(ring::error::Unspecified) => unreachable!("a key has 32 bytes"),
        }
    }

    /// Prepares a key on the heap and leaves no trace of it on the stack.
    #[doc(hidden)]
    #[must_use]
    pub fn boxed(key: &[u8; 32]) -> Box<Self> {
        #[inline(never)]
        fn boxed(key: &[u8; 32]) -> Box<Cipher> {
            Box::new(Cipher::of_bytes(key))
        }
        let cipher = boxed(key);
        wipe_stack();
        cipher
    }

    /// Replaces the key at the same place in memory and leaves no trace of it on the stack.
    pub(crate) fn replace(&mut self, key: &[u8; 32]) {
        #[inline(never)]
        fn replace(old: &mut Cipher, key: &[u8; 32]) {
            *old = Cipher::of_bytes(key);
        }
        replace(self, key);
        wipe_stack();
    }

    /// Seals a frame with a shared key: `iv | ciphertext | tag`.
    ///
    /// # Errors
    ///
    /// [`SealError`] if the cipher fails, which never happens for 32 bytes.
    pub fn seal(
        &self,
        iv: Iv,
        frame: &[u8; FRAME_BYTES],
    ) -> Result<[u8; SHARED_BYTES], SealError> {
        let mut wire = [0; SHARED_BYTES];
        self.seal_into(&mut wire, iv, &[], frame)?;
        Ok(wire)
    }

    /// Seals a frame with the key derived for an agent: `pid | iv | ciphertext | tag`.
    /// The pid is authenticated with the rest.
    ///
    /// ```
    /// use varta::secure::{Cipher, Iv, Key, derive_agent_key};
    /// use varta::{Frame, Status};
    ///
    /// let master = Key::from_bytes([9; 32]);
    /// let cipher = Cipher::new(&derive_agent_key(&master, 4321).unwrap());
    /// let mut frame = [0; 32];
    /// Frame::new(Status::Ok, 4321, 0, 1, 0).encode(&mut frame);
    /// let wire = cipher.seal_as(4321, Iv { prefix: [3; 8], counter: 1 }, &frame).unwrap();
    /// assert_eq!(cipher.open_from(&wire), Ok(frame));
    /// ```
    ///
    /// # Errors
    ///
    /// [`SealError`] if the cipher fails, which never happens for 32 bytes.
    pub fn seal_as(
        &self,
        pid: u32,
        iv: Iv,
        frame: &[u8; FRAME_BYTES],
    ) -> Result<[u8; MASTER_BYTES], SealError> {
        let pid = pid.to_le_bytes();
        let mut wire = [0; MASTER_BYTES];
        let (front, sealed) = wire.split_at_mut(PID_BYTES);
        front.copy_from_slice(&pid);
        let sealed = sealed.first_chunk_mut().ok_or(SealError)?;
        self.seal_into(sealed, iv, &pid, frame)?;
        Ok(wire)
    }

    /// Opens a datagram made by [`seal`](Self::seal).
    ///
    /// # Errors
    ///
    /// [`AuthError`] if the key is wrong or any byte was changed.
    pub fn open(&self, wire: &[u8; SHARED_BYTES]) -> Result<[u8; FRAME_BYTES], AuthError> {
        self.open_with(wire, &[])
    }

    /// Opens a datagram made by [`seal_as`](Self::seal_as). This must be the cipher of the
    /// pid in the first four bytes, and the frame inside must have the same pid.
    ///
    /// # Errors
    ///
    /// [`AuthError`] if the key is wrong, any byte was changed, or the pid inside differs.
    pub fn open_from(&self, wire: &[u8; MASTER_BYTES]) -> Result<[u8; FRAME_BYTES], AuthError> {
        let (pid, sealed) = wire.split_at(PID_BYTES);
        let frame = self.open_with(sealed.first_chunk().ok_or(AuthError)?, pid)?;
        if &frame[4..8] != pid {
            return Err(AuthError);
        }
        Ok(frame)
    }

    fn seal_into(
        &self,
        wire: &mut [u8; SHARED_BYTES],
        iv: Iv,
        associated: &[u8],
        frame: &[u8; FRAME_BYTES],
    ) -> Result<(), SealError> {
        let iv = iv.to_bytes();
        wire[..12].copy_from_slice(&iv);
        wire[12..44].copy_from_slice(frame);
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(iv),
                Aad::from(associated),
                &mut wire[12..44],
            )
            .map_err(|_| SealError)?;
        wire[44..].copy_from_slice(tag.as_ref());
        Ok(())
    }

    fn open_with(
        &self,
        wire: &[u8; SHARED_BYTES],
        associated: &[u8],
    ) -> Result<[u8; FRAME_BYTES], AuthError> {
        let mut iv = [0; 12];
        iv.copy_from_slice(&wire[..12]);
        let mut frame = [0; FRAME_BYTES];
        frame.copy_from_slice(&wire[12..44]);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&wire[44..]);
        self.0
            .open_in_place_separate_tag(
                Nonce::assume_unique_for_key(iv),
                Aad::from(associated),
                Tag::from(tag),
                &mut frame,
                0..,
            )
            .map_err(|_| AuthError)?;
        Ok(frame)
    }
}

/// Overwrites the part of the stack that earlier calls have used, because ciphers move and
/// process keys there. Call it where a key is dropped, from a stack frame that is not deeper
/// than the ones that used the key.
#[inline(never)]
pub fn wipe_stack() {
    const BYTES: usize = 16 * 1024;
    let mut stack = [0_u8; BYTES];
    core::hint::black_box(&mut stack).zeroize();
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

/// The bytes were not sealed with this key, or were changed in transit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthError;

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not sealed with this key, or changed in transit")
    }
}

impl core::error::Error for AuthError {}

/// The cipher failed to seal the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealError;

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cipher failed to seal the frame")
    }
}

impl core::error::Error for SealError {}
