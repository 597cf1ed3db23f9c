//! Checks of frames of both versions.

use std::fmt::Debug;

use varta::{DecodeError, Frame, Status, v1};

use crate::failure::{Failure, hex, same};
use crate::fields::Fields;

pub(super) fn encode_decode_roundtrip(vector: &Fields<'_>) -> Result<(), Failure> {
    vector.null("expected_decode_error")?;
    let wire: [u8; 32] = vector.array("expected_wire_hex")?;
    let inputs = vector.object("inputs")?;
    let frame = Frame::new(
        status(&inputs)?,
        inputs.number("pid")?,
        inputs.number("timestamp")?,
        inputs.number("nonce")?,
        inputs.number("payload")?,
    );
    let mut encoded = [0; 32];
    frame.encode(&mut encoded);
    same("encoding", &hex(&wire), &hex(&encoded))?;
    same("decoding", &text_of(Ok(frame)), &text_of(Frame::decode(&wire)))
}

pub(super) fn decode_error(vector: &Fields<'_>) -> Result<(), Failure> {
    let error = vector.text("expected_decode_error")?;
    same("decoding", error, &text_of(Frame::decode(&vector.array("wire_hex")?)))
}

/// `decode` accepts only arrays of 32 bytes, so this checks its type.
pub(super) fn frame_length(vector: &Fields<'_>) -> Result<(), Failure> {
    match <&[u8; 32]>::try_from(vector.bytes("wire_hex")?.as_slice()) {
        Err(_) => Ok(()),
        Ok(wire) => Err(Failure::new("decoding", "no frame", text_of(Frame::decode(wire)))),
    }
}

pub(super) fn v1_decode(vector: &Fields<'_>) -> Result<(), Failure> {
    let wire: [u8; 32] = vector.array("wire_hex")?;
    let decoded = text_of(v1::Frame::decode(&wire));
    if let Some(error) = vector.text_or_null("expected_decode_error")? {
        vector.null("expected_fields")?;
        return same("decoding", error, &decoded);
    }
    let fields = vector.object("expected_fields")?;
    let frame = v1::Frame::new(
        status(&fields)?,
        fields.number("pid")?,
        fields.number("timestamp")?,
        fields.number("nonce")?,
        fields.number("payload")?,
    );
    let mut encoded = [0; 32];
    frame.encode(&mut encoded);
    same("encoding", &hex(&wire), &hex(&encoded))?;
    same("decoding", &text_of(Ok(frame)), &decoded)
}

fn status(fields: &Fields<'_>) -> Result<Status, Failure> {
    let word = fields.text("status")?;
    word.parse().map_err(|_| Failure::new("status", "the name of a status", word))
}

fn text_of<F: Debug>(decoded: Result<F, DecodeError>) -> String {
    match decoded {
        Ok(frame) => format!("{frame:?}"),
        Err(error) => error.name().to_owned(),
    }
}
