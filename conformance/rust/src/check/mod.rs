//! One check for each kind of vector, and one for stories.

mod frame;
mod lane;
mod secure;
mod story;

use varta::crc32c;

use crate::failure::{Failure, same};
use crate::fields::Fields;

pub(crate) type Check = fn(&Fields<'_>) -> Result<(), Failure>;

/// Returns the check for a kind, if it is known.
pub(crate) fn of(kind: &str) -> Option<Check> {
    Some(match kind {
        "crc32c" => checksum,
        "encode_decode_roundtrip" => frame::encode_decode_roundtrip,
        "decode_error" => frame::decode_error,
        "frame_length" => frame::frame_length,
        "v1_decode" => frame::v1_decode,
        "kdf_agent_key" => secure::kdf_agent_key,
        "kdf_iv_prefix" => secure::kdf_iv_prefix,
        "kdf_epoch_key" => secure::kdf_epoch_key,
        "shared_key_seal" => secure::shared_key_seal,
        "master_key_seal" => secure::master_key_seal,
        "open_error" => secure::open_error,
        "story" => story::story,
        "lane_story" => lane::lane_story,
        "lane_message" => lane::message,
        "lane_message_error" => lane::message_error,
        "lane_place" => lane::place,
        "lane_head" => lane::head,
        "lane_cold" => lane::cold,
        "lane_hot" => lane::hot,
        "lane_info" => lane::info,
        "lane_violation" => lane::violation,
        "lane_invalid" => lane::invalid,
        _ => return None,
    })
}

fn checksum(vector: &Fields<'_>) -> Result<(), Failure> {
    let crc = crc32c(&vector.bytes("input_hex")?);
    same("checksum", vector.text("expected_crc_hex")?, &format!("{crc:08x}"))
}
