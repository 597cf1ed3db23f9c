//! The keys of an observer, and opening what was sealed with one of them.

use std::fmt;
use std::net::IpAddr;

use varta::FRAME_BYTES;
use varta::internal::{Zeroizing, derive_agent_bytes, wipe_stack};
use varta::secure::{Cipher, Iv, Key, MASTER_BYTES, SHARED_BYTES};

/// The derived keys of at most this many agents are cached. Deriving a key takes a
/// microsecond; preparing a cached one takes a twentieth of that.
const MOST_CACHED_KEYS: usize = 4096;

/// Why a datagram could not be opened.
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
    #[allow(clippy::vec_box, reason = "a growing list would leave copies of the keys")]
    shared: Vec<Box<Cipher>>,
    /// Which shared key opened the last frame from an address, by the last byte of the
    /// address: while keys are rotated, each sender keeps using one key for a long time.
    fitted: Box<[u8; 256]>,
    master: Option<Key>,
    /// By the last bits of the pid. Only a frame that was opened puts a key here, so a sender
    /// without a key cannot push out another agent's.
    derived: Vec<Derived>,
    /// How many derived keys are cached, if there is a master key.
    cached_keys: usize,
}

impl Keyring {
    pub(crate) fn new(shared: &[Key], master: Option<Key>, agents: usize) -> Self {
        let mut made = Self {
            shared: shared.iter().map(|key| Cipher::boxed(key.as_bytes())).collect(),
            fitted: Box::new([0; 256]),
            master: None,
            derived: Vec::new(),
            cached_keys: agents.clamp(1, MOST_CACHED_KEYS),
        };
        if let Some(master) = master {
            made.set_master(master);
        }
        made
    }

    /// Replaces all keys.
    pub(crate) fn replace(&mut self, shared: &[Key], master: Option<Key>) {
        *self = Self::new(shared, master, self.cached_keys);
    }

    pub(crate) fn add_shared(&mut self, key: &Key) {
        self.shared.push(Cipher::boxed(key.as_bytes()));
    }

    pub(crate) fn set_master(&mut self, key: Key) {
        self.master = Some(key);
        self.derived.clear();
        self.derived.resize_with(self.cached_keys, Derived::default);
    }

    pub(crate) fn has_master(&self) -> bool {
        self.master.is_some()
    }

    pub(crate) fn holds_any(&self) -> bool {
        !self.shared.is_empty() || self.has_master()
    }

    /// Opens a datagram of either form, and counts the keys that were tried.
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
            return None; // no process has pid 0; it marks an unused cache entry
        }
        let cached_keys = self.derived.len();
        let place = self.derived.get_mut(pid as usize % cached_keys)?;
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
        // Opening a frame leaves key material on the stack.
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
