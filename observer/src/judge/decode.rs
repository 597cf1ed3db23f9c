//! The frames in datagrams.

use varta::internal::local;
use varta::{DecodeError, FRAME_BYTES, Frame, v1};

use super::Judge;
use super::tracker::Beat;
use crate::event::What;

impl Judge {
    /// Decodes 32 bytes from a sender that the kernel names. If they are not a valid frame,
    /// counts and reports that. Pid 1 is valid here; the caller checks whether it is the
    /// sender's.
    #[inline]
    pub(super) fn decode_local(&mut self, wire: &[u8; FRAME_BYTES]) -> Option<Beat> {
        let decoded = match self.is_version1(wire) {
            true => local::decode_v1(wire).map(Beat::from),
            false => local::decode(wire).map(Beat::from),
        };
        decoded.map_err(|error| self.refuse_frame(error)).ok()
    }

    /// As [`decode_local`](Self::decode_local), from a sender on a network.
    #[inline]
    pub(super) fn decode_network(&mut self, wire: &[u8; FRAME_BYTES]) -> Option<Beat> {
        let decoded = match self.is_version1(wire) {
            true => v1::Frame::decode(wire).map(Beat::from),
            false => Frame::decode(wire).map(Beat::from),
        };
        decoded.map_err(|error| self.refuse_frame(error)).ok()
    }

    #[inline]
    fn is_version1(&self, wire: &[u8; FRAME_BYTES]) -> bool {
        wire[2] == v1::VERSION && self.policy.version1
    }

    /// Counts and reports a datagram that is not a valid frame.
    pub(super) fn refuse_frame(&mut self, error: DecodeError) {
        self.counters.decode_error(&error);
        self.emit(What::Decode(error));
    }
}
