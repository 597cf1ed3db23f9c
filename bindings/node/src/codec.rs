//! Encodes and decodes frames of both versions.

use napi::bindgen_prelude::{BigInt, Buffer};
use napi_derive::napi;
use varta::{FRAME_BYTES, Frame, crc32c, v1};

use crate::agent::status_of;
use crate::failure::named;

/// The fields of a frame of either version.
#[napi(object)]
#[derive(Debug)]
pub struct Fields {
    /// The status's number.
    pub status: u32,
    /// The sender's process id.
    pub pid: u32,
    /// Nanoseconds on the sender's clock.
    pub timestamp: BigInt,
    /// The number of the beat.
    pub nonce: BigInt,
    /// The application-defined number.
    pub payload: BigInt,
}

exported! {
    /// Returns the CRC-32C.
    fn checksum(bytes: &[u8]) -> Result<u32> {
        Ok(crc32c(bytes))
    }
}

exported! {
    /// Encodes a frame.
    fn frame_encode(fields: Fields, version1: bool) -> Result<Buffer> {
        let status = status_of(fields.status)?;
        let (timestamp, nonce) = (fields.timestamp.get_u64().1, fields.nonce.get_u64().1);
        let payload = fields.payload.get_u64().1;
        let mut wire = [0; FRAME_BYTES];
        if version1 {
            v1::Frame::new(status, fields.pid, timestamp, nonce, payload).encode(&mut wire);
        } else {
            let payload = u32::try_from(payload)
                .map_err(|_| named("22", "expected a payload of at most 32 bits"))?;
            Frame::new(status, fields.pid, timestamp, nonce, payload).encode(&mut wire);
        }
        Ok(wire.as_slice().into())
    }
}

exported! {
    /// Decodes a frame. The name of the decode error is the `code` of the exception.
    fn frame_decode(wire: &[u8], version1: bool) -> Result<Fields> {
        let wire = wire.try_into().map_err(|_| named("22", "expected 32 bytes"))?;
        if version1 {
            v1::Frame::decode(wire).map(|frame| Fields {
                status: frame.status as u32,
                pid: frame.pid,
                timestamp: frame.timestamp.into(),
                nonce: frame.nonce.into(),
                payload: frame.payload.into(),
            })
        } else {
            Frame::decode(wire).map(|frame| Fields {
                status: frame.status as u32,
                pid: frame.pid,
                timestamp: frame.timestamp.into(),
                nonce: frame.nonce.into(),
                payload: u64::from(frame.payload).into(),
            })
        }
        .map_err(|error| named(error.name(), error))
    }
}
