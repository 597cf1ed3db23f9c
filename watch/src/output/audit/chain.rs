//! The hash chain, in version 2 of the schema of varta-watch 0.2.

use std::fmt;

use ring::digest::{Context, SHA256};

/// The first line of a file.
pub(super) const HEADER: &str = "# varta-watch recovery audit v2";

const DOMAIN: &[u8] = b"VARTA-AUDIT-v2";

/// One hash of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link([u8; 32]);

impl Link {
    /// The link before the first line.
    pub(super) const NONE: Self = Self([0; 32]);

    /// The next link: a hash of a line's kind, and of the line without its last column.
    pub(super) fn next(&self, kind: &str, body: &str) -> Self {
        let mut hash = Context::new(&SHA256);
        for part in [DOMAIN, b"\0", kind.as_bytes(), b"\0", &self.0, b"\0", body.as_bytes()] {
            hash.update(part);
        }
        let mut link = [0; 32];
        for (to, from) in link.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        Self(link)
    }

    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut link = [0; 32];
        for (byte, pair) in link.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(link))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A parsed line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    pub(super) kind: &'a str,
    /// The line without its last column.
    pub(super) body: &'a str,
    /// None if the line has no hash.
    pub(super) link: Option<Link>,
    /// For a boot line: the link that it continues from.
    pub(super) continues_from: Option<Link>,
}

impl<'a> Line<'a> {
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let (body, last) = line.rsplit_once('\t')?;
        let mut columns = body.split('\t');
        let seq = columns.next()?.parse().ok()?;
        let (_wall, _observer) = (columns.next()?, columns.next()?);
        let kind = columns.next()?;
        let link = match last {
            "-" => None,
            hex => Some(Link::from_hex(hex)?),
        };
        let continues_from = match kind {
            "boot" => columns.nth(1).and_then(Link::from_hex),
            _ => None,
        };
        Some(Self { seq, kind, body, link, continues_from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values were computed with Python's hashlib.
    #[test]
    fn a_link_is_sha256_of_domain_kind_previous_link_and_body() {
        let first = Link::NONE.next("boot", "1\t0\t0\tboot\t7\t-\tfresh");
        assert_eq!(first.to_string(), FIRST);
        let second = first.next("refused", "2\t0\t0\trefused\t9\tunconfirmed_agent");
        assert_eq!(second.to_string(), SECOND);
        assert_eq!(Link::from_hex(FIRST), Some(first));
    }

    const FIRST: &str = "505b60a7b6a0bd62f81f60acc06090858e37d290c96571c987f72aefc1b54478";
    const SECOND: &str = "59fa3296bd6daf6a4ca7906dd9c6cace00b861a71715b7729fd57e7544cdab07";

    #[test]
    fn an_invalid_line_is_not_parsed() {
        for text in ["", "1", "1\t2\t3\tboot", "x\t2\t3\tboot\t-", "1\t2\t3\tboot\tabc"] {
            assert_eq!(Line::parse(text), None, "{text:?}");
        }
    }
}
