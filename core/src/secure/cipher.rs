//! Sealing a frame and opening it again.

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

/// The AEAD nonce of one seal. No two seals under one key may ever share one.
///
/// ```
/// let iv = varta::secure::Iv { prefix: [7; 8], counter: 1 };
/// assert_eq!(iv.to_bytes()[8..], [1, 0, 0, 0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Iv {
    /// Random to the session, derived from its salt.
    pub prefix: [u8; 8],
    /// Moves with every seal.
    pub counter: u32,
}

impl Iv {
    /// The twelve bytes as they travel.
    ///
    /// ```
    /// let iv = varta::secure::Iv { prefix: [0xab; 8], counter: 0x0102 };
    /// assert_eq!(iv.to_bytes()[7..], [0xab, 2, 1, 0, 0]);
    /// ```
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.prefix);
        bytes[8..].copy_from_slice(&self.counter.to_le_bytes());
        bytes
    }

    /// Reads the twelve bytes.
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

/// A key made ready to seal and open. Wiped when dropped, never printed.
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
    /// Makes a key ready.
    ///
    /// ```
    /// use varta::secure::{Cipher, Key};
    ///
    /// let cipher = Cipher::new(&Key::from_bytes([9; 32]));
    /// assert_eq!(format!("{cipher:?}"), "Cipher(..)");
    /// ```
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self::of_bytes(key.as_bytes())
    }

    /// As [`new`](Self::new), of bytes that are no key of their own.
    #[doc(hidden)]
    #[must_use]
    pub fn of_bytes(key: &[u8; 32]) -> Self {
        match UnboundKey::new(&CHACHA20_POLY1305, key) {
            Ok(key) => Self(Wiped::new(LessSafeKey::new(key))),
            // It fails for keys that are not 32 bytes long; this one is, by its type.
            Err(ring::error::Unspecified) => unreachable!("a key has 32 bytes"),
        }
    }

    /// Makes a key ready in a place of its own, for one that is kept: nothing of it is left
    /// on the stack.
    #[doc(hidden)]
    #[must_use]
    pub fn boxed(key: &[u8; 32]) -> Box<Self> {
        #[inline(never)]
        fn boxed(key: &[u8; 32]) -> Box<Cipher> {
            Box::new(Cipher::of_bytes(key))
        }
        let made = boxed(key);
        wipe_stack();
        made
    }

    /// Takes another key, at the same place in memory and without traces on the stack.
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
    /// ```
    /// use varta::secure::{Cipher, Iv, Key};
    ///
    /// let cipher = Cipher::new(&Key::from_bytes([9; 32]));
    /// let wire = cipher.seal(Iv { prefix: [3; 8], counter: 1 }, &[0; 32]).unwrap();
    /// assert_eq!(wire[..12], [3, 3, 3, 3, 3, 3, 3, 3, 1, 0, 0, 0]);
    /// ```
    ///
    /// # Errors
    ///
    /// [`SealError`] if the cipher refuses, which it never does for 32 bytes.
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
    /// [`SealError`] if the cipher refuses, which it never does for 32 bytes.
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

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// ```
    /// use varta::secure::{AuthError, Cipher, Key};
    ///
    /// let cipher = Cipher::new(&Key::from_bytes([9; 32]));
    /// assert_eq!(cipher.open(&[0; 60]), Err(AuthError));
    /// ```
    ///
    /// # Errors
    ///
    /// [`AuthError`] for a wrong key and for any byte that was changed.
    pub fn open(&self, wire: &[u8; SHARED_BYTES]) -> Result<[u8; FRAME_BYTES], AuthError> {
        self.open_with(wire, &[])
    }

    /// Opens what [`seal_as`](Self::seal_as) made, with the key derived for the pid that
    /// the first four bytes name; the frame inside must name the same.
    ///
    /// ```
    /// use varta::secure::{AuthError, Cipher, Key};
    ///
    /// let cipher = Cipher::new(&Key::from_bytes([9; 32]));
    /// assert_eq!(cipher.open_from(&[0; 64]), Err(AuthError));
    /// ```
    ///
    /// # Errors
    ///
    /// [`AuthError`] for a wrong key, any byte that was changed, or another pid inside.
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

/// Overwrites what calls that have returned left on the stack: ciphers move keys through it,
/// and work on them there. To be called where a key is dropped, from a frame that is not
/// deeper than those that used it.
#[inline(never)]
pub fn wipe_stack() {
    const BYTES: usize = 16 * 1024;
    let mut left = [0_u8; BYTES];
    core::hint::black_box(&mut left).zeroize();
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

/// The bytes were not sealed with this key, or were changed since.
///
/// ```
/// assert_eq!(varta::secure::AuthError.to_string(), "not sealed with this key, or changed on the way");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthError;

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not sealed with this key, or changed on the way")
    }
}

impl core::error::Error for AuthError {}

/// The cipher refused to seal.
///
/// ```
/// assert_eq!(varta::secure::SealError.to_string(), "the cipher refused to seal");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealError;

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cipher refused to seal")
    }
}

impl core::error::Error for SealError {}
