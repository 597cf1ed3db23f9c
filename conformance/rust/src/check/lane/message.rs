//! Checks of the messages with which a page is handed over.

use varta::internal::lane::message::{Hello, Message, MessageError, PageOffer, Refused};

use crate::failure::{Failure, hex, same};
use crate::fields::Fields;

pub(crate) fn message(vector: &Fields<'_>) -> Result<(), Failure> {
    let message = of(&vector.object("inputs")?)?;
    let wire = vector.bytes("expected_wire_hex")?;
    let (bytes, length) = message.encode();
    same("encoding", &hex(&wire), &hex(bytes.get(..length).unwrap_or_default()))?;
    same("decoding", &format!("{message:?}"), &text_of(Message::decode(&wire)))
}

pub(crate) fn message_error(vector: &Fields<'_>) -> Result<(), Failure> {
    let decoded = text_of(Message::decode(&vector.bytes("wire_hex")?));
    same("decoding", vector.text("expected_error")?, &decoded)
}

fn of(inputs: &Fields<'_>) -> Result<Message, Failure> {
    Ok(match inputs.text("message")? {
        "hello" => Message::Hello(Hello {
            pid: inputs.number("pid")?,
            flags: inputs.number("flags")?,
            monotonic_ns: inputs.number("monotonic_ns")?,
            nonce: inputs.number("nonce")?,
            name: inputs.array("name_hex")?,
        }),
        "page" => Message::Page(PageOffer {
            offset: inputs.number("offset")?,
            pairs: inputs.number("pairs")?,
            threshold_ns: inputs.number("threshold_ns")?,
            clock_offset: inputs.signed("clock_offset")?,
            flags: inputs.number("flags")?,
        }),
        "refused" => Message::Refused(Refused {
            errno: inputs.number("errno")?,
            reason: inputs.array("reason_hex")?,
        }),
        "mapped" => Message::Mapped,
        "bell" => Message::Bell { pair: inputs.number("pair")? },
        other => {
            let known = "hello, page, refused, mapped or bell";
            return Err(Failure::new("message", known, other));
        }
    })
}

fn text_of(decoded: Result<Message, MessageError>) -> String {
    match decoded {
        Ok(message) => format!("{message:?}"),
        Err(MessageError::Malformed) => "Malformed".to_owned(),
        Err(MessageError::Version(_)) => "Version".to_owned(),
    }
}
