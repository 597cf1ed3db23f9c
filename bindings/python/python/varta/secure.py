"""Seals frames with ChaCha20-Poly1305 and derives keys."""

from varta._values import AuthError
from varta._varta import Cipher, derive_agent_key, derive_iv_prefix

__all__ = ["AuthError", "Cipher", "derive_agent_key", "derive_iv_prefix"]
