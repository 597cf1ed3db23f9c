//! The subjects of messages.

use std::fmt::Write;

/// The longest token, in bytes.
const LONGEST: usize = 64;

/// Makes a token of a subject from any text. Letters, digits, `_` and `-` stay as they are, and
/// each other byte becomes `%XX`. A text that is too long is cut.
pub(crate) fn token(text: &str) -> String {
    let mut token = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = if plain { 1 } else { 3 };
        if token.len() + length > LONGEST {
            break;
        }
        if plain {
            token.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(token, "%{byte:02X}");
        }
    }
    if token.is_empty() { "_".to_owned() } else { token }
}

/// The subject of a transition.
pub(crate) fn event(host: &str, program: &str, kind: &str) -> String {
    format!("varta.event.{}.{}.{}", token(host), token(program), token(kind))
}

/// The subject of the last known state of an agent.
pub(crate) fn state(host: &str, program: &str, run: &str, agent: u64) -> String {
    format!("varta.state.{}.{}.{}-{agent}", token(host), token(program), token(run))
}

/// The subject of requests for the agents of a host.
pub(crate) fn ask(host: &str) -> String {
    format!("varta.ask.{}", token(host))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text that a token was made from, if it was not cut.
    fn text_of(token: &str) -> Vec<u8> {
        let mut parts = token.split('%');
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        bytes
    }

    #[test]
    fn unusual_names_become_valid_tokens() {
        assert_eq!(token("nginx"), "nginx");
        assert_eq!(token(""), "_");
        assert_eq!(token("a.b c*>"), "a%2Eb%20c%2A%3E");
        assert_eq!(token("é"), "%C3%A9");
        assert_eq!(token(&"é".repeat(40)), "%C3%A9".repeat(10) + "%C3");
        assert_eq!(event("web1", "", "paused"), "varta.event.web1._.paused");
    }

    proptest! {
        #[test]
        fn every_text_becomes_one_valid_token(text in any::<String>()) {
            let token = token(&text);
            prop_assert!((1..=LONGEST).contains(&token.len()), "{token}");
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-%".contains(&byte);
            prop_assert!(token.bytes().all(valid), "{token}");
            let read = text_of(&token);
            if !text.is_empty() {
                prop_assert!(text.as_bytes().starts_with(&read), "{token}");
                prop_assert!(read.len() == text.len() || token.len() + 3 > LONGEST, "{token}");
            }
        }
    }
}
