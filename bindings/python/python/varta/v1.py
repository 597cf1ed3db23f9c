"""Version 1 of the wire format: a 64-bit payload and no checksum."""

from varta._varta import FrameV1 as Frame

__all__ = ["Frame"]
