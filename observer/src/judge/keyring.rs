//! The keys an observer holds, and opening what was sealed with one of them.

use std::fmt;
use std::net::IpAddr;

use varta::FRAME_BYTES;
use varta::internal::{Zeroizing, derive_agent_bytes, wipe_stack};
use varta::secure::{Cipher, Iv, Key, MASTER_BYTES, SHARED_BYTES};

/// Of so many agents at most the derived key is kept at hand. To derive one again takes
/// a microsecond; to make it ready a twentieth of that.
const DERIVED_AT_HAND: usize = 4096;

/// Why nothing was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    WrongLength,
    NoKeyFits,
}

/// The key of the agent with this pid, if that is not 0.
#[derive(Default)]
struct Derived {
    pid: u32,
    key: Zeroizing<[u8; 32]>,
}

pub(crate) struct Keyring {
    #[allow(clippy::vec_box, reason = "a list that grows would leave copies of the keys")]
    shared: Vec<Box<Cipher>>,
    /// Which shared key opened the last frame from an address, by its last bits: while
    /// keys are rotated each sender stays with one for long.
    fitted: Box<[u8; 256]>,
    master: Option<Key>,
    /// By the last bits of the pid. Only a frame that opened puts a key here, so that
    /// nobody without one can push out another's.
    derived: Vec<Derived>,
    /// Of how many agents the derived key is kept, if there is a master key.
    at_hand: usize,
}

impl Keyring {
    pub(crate) fn new(shared: &[Key], master: Option<Key>, agents: usize) -> Self {
        let mut made = Self {
            shared: shared.iter().map(|key| Cipher::boxed(key.as_bytes())).collect(),
            fitted: Box::new([0; 256]),
            master: None,
            derived: Vec::new(),
            at_hand: agents.clamp(1, DERIVED_AT_HAND),
        };
        if let Some(master) = master {
            made.set_master(master);
        }
        made
    }

    /// Holds these keys and no others.
    pub(crate) fn replace(&mut self, shared: &[Key], master: Option<Key>) {
        *self = Self::new(shared, master, self.at_hand);
    }

    pub(crate) fn add_shared(&mut self, key: &Key) {
        self.shared.push(Cipher::boxed(key.as_bytes()));
    }

    pub(crate) fn set_master(&mut self, key: Key) {
        self.master = Some(key);
        self.derived.clear();
        self.derived.resize_with(self.at_hand, Derived::default);
    }

    pub(crate) fn has_master(&self) -> bool {
        self.master.is_some()
    }

    pub(crate) fn holds_any(&self) -> bool {
        !self.shared.is_empty() || self.has_master()
    }

    /// Opens a datagram of either form, and counts the keys that are tried.
    pub(crate) fn open(
        &mut self,
        bytes: &[u8],
        address: IpAddr,
        tried: &mut u64,
    ) -> Result<([u8; FRAME_BYTES], Iv), Unopened> {
        if let Ok(wire) = <&[u8; SHARED_BYTES]>::try_from(bytes) {
            let frame = self.open_shared(wire, address, tried).ok_or(Unopened::NoKeyFits)?;
            return Ok((frame, iv_at(wire.first_chunk())));
        }
        let wire = <&[u8; MASTER_BYTES]>::try_from(bytes).map_err(|_| Unopened::WrongLength)?;
        let frame = self.open_derived(wire, tried).ok_or(Unopened::NoKeyFits)?;
        Ok((frame, iv_at(wire.split_at(4).1.first_chunk())))
    }

    fn open_shared(
        &mut self,
        wire: &[u8; SHARED_BYTES],
        address: IpAddr,
        tried: &mut u64,
    ) -> Option<[u8; FRAME_BYTES]> {
        let fitted = self.fitted.get_mut(usize::from(last_byte(address)))?;
        let first = usize::from(*fitted);
        let keys = || self.shared.iter().enumerate();
        let (at, frame) = keys()
            .skip(first)
            .take(1)
            .chain(keys().filter(|(at, _)| *at != first))
            .inspect(|_| *tried += 1)
            .find_map(|(at, key)| Some((at, key.open(wire).ok()?)))?;
        *fitted = u8::try_from(at).unwrap_or(0);
        Some(frame)
    }

    fn open_derived(
        &mut self,
        wire: &[u8; MASTER_BYTES],
        tried: &mut u64,
    ) -> Option<[u8; FRAME_BYTES]> {
        let master = self.master.as_ref()?;
        *tried += 1;
        let pid = u32::from_le_bytes(*wire.first_chunk()?);
        if pid == 0 {
            return None; // no process has it, and no place with it has a key
        }
        let at_hand = self.derived.len();
        let place = self.derived.get_mut(pid as usize % at_hand)?;
        if place.pid == pid {
            return Cipher::of_bytes(&place.key).open_from(wire).ok();
        }
        let key = derive_agent_bytes(master.as_bytes(), pid).ok()?;
        let frame = Cipher::of_bytes(&key).open_from(wire).ok()?;
        place.pid = pid;
        place.key.copy_from_slice(&*key);
        Some(frame)
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        // Each frame was opened with one of the keys.
        wipe_stack();
    }
}

fn iv_at(bytes: Option<&[u8; 12]>) -> Iv {
    Iv::from_bytes(*bytes.unwrap_or(&[0; 12]))
}

fn last_byte(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("shared", &self.shared.len())
            .field("master", &self.master.is_some())
            .finish_non_exhaustive()
    }
}
