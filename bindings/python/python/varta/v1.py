"""Version 1 of the wire: a payload of 64 bits, and no checksum."""

from varta._varta import FrameV1 as Frame

__all__ = ["Frame"]
