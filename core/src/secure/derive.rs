//! Derives agents' keys, IV prefixes and epoch keys by HKDF-SHA256 with an empty salt.

use core::fmt;

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use super::key::Key;

/// The key of the agent with this pid, from a master key.
///
/// ```
/// use varta::secure::{Key, derive_agent_key};
///
/// let master = Key::from_bytes(core::array::from_fn(|i| i as u8));
/// let key = derive_agent_key(&master, 42).unwrap();
/// assert_eq!(key.as_bytes()[..4], [0x61, 0xf5, 0x95, 0x1b]);
/// ```
///
/// # Errors
///
/// [`KdfError`] if the derivation fails, which never happens for these lengths.
pub fn derive_agent_key(master: &Key, pid: u32) -> Result<Key, KdfError> {
    Ok(Key::from_bytes(*derive_agent_bytes(master.as_bytes(), pid)?))
}

/// As [`derive_agent_key`], without allocating.
pub fn derive_agent_bytes(
    master: &[u8; 32],
    pid: u32,
) -> Result<Zeroizing<[u8; 32]>, KdfError> {
    expand(master, &[b"varta-agent-v1\0", &pid.to_le_bytes()])
}

/// The IV prefix with this index, from a session's salt.
///
/// ```
/// use varta::secure::derive_iv_prefix;
///
/// let salt = core::array::from_fn(|i| i as u8 + 1);
/// let prefix = derive_iv_prefix(&salt, 7).unwrap();
/// assert_eq!(prefix, [0x9f, 0xee, 0x77, 0x7f, 0x36, 0xbe, 0x69, 0xce]);
/// ```
///
/// # Errors
///
/// [`KdfError`] if the derivation fails, which never happens for these lengths.
pub fn derive_iv_prefix(salt: &[u8; 16], index: u32) -> Result<[u8; 8], KdfError> {
    Ok(*expand(salt, &[b"varta-iv-prefix-v1\0", &index.to_le_bytes()])?)
}

/// The key of an epoch, from an agent's key. The wire format does not use it: it exists for its test
/// vectors, which reserve the label.
pub fn derive_epoch_key(agent: &Key, epoch: u64) -> Result<Key, KdfError> {
    let key = expand(agent.as_bytes(), &[b"varta-epoch-v1\0", &epoch.to_le_bytes()])?;
    Ok(Key::from_bytes(*key))
}

/// The IV prefix of one last-words datagram. The label makes it different from the prefix of
/// every beat. The pid, the time (monotonic nanoseconds) and the count make it different from
/// all other last words, without reading entropy in a dying process.
#[cfg(feature = "panic-handler")]
pub(crate) fn last_words_prefix(
    salt: &[u8; 16],
    pid: u32,
    time: u64,
    count: u32,
) -> Result<[u8; 8], KdfError> {
    let (pid, time, count) = (pid.to_le_bytes(), time.to_le_bytes(), count.to_le_bytes());
    Ok(*expand(salt, &[b"varta-last-words-v1\0", &pid, &time, &count])?)
}

fn expand<const N: usize>(
    input: &[u8],
    info: &[&[u8]],
) -> Result<Zeroizing<[u8; N]>, KdfError> {
    struct Bytes(usize);
    impl KeyType for Bytes {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut output = Zeroizing::new([0; N]);
    Salt::new(HKDF_SHA256, &[])
        .extract(input)
        .expand(info, Bytes(N))
        .and_then(|key| key.fill(&mut *output))
        .map_err(|_| KdfError)?;
    Ok(output)
}

/// The key derivation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfError;

impl fmt::Display for KdfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key derivation failed")
    }
}

impl core::error::Error for KdfError {}
