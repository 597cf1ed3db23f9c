//! Frames sealed with ChaCha20-Poly1305 for use over a network, and the derivation of their
//! keys.

mod cipher;
mod derive;
mod key;
pub(crate) mod session;

#[doc(hidden)]
pub use cipher::wipe_stack;
pub use cipher::{AuthError, Cipher, Iv, MASTER_BYTES, SHARED_BYTES, SealError};
#[cfg(feature = "panic-handler")]
pub(crate) use derive::last_words_prefix;
pub use derive::{KdfError, derive_agent_key, derive_iv_prefix};
#[doc(hidden)]
pub use derive::{derive_agent_bytes, derive_epoch_key};
pub use key::{Key, KeyError};
