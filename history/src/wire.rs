//! Numbers and tagged fields as bytes.
//!
//! A number is a varint: seven bits in each byte, the lowest first, and the highest bit set in
//! all bytes but the last. A body is a sequence of fields. Each begins with its tag, which is
//! the number of the field times two, plus one if a length and bytes follow rather than a
//! number. A reader skips the fields it does not know.

/// Appends a number.
pub(crate) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while let high @ 1.. = number >> 7 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number = high;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes a number from the beginning of bytes. `None` if they end too early or if it has more
/// than 64 bits.
pub(crate) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes a length and that many bytes.
pub(crate) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Appends a field with a number.
pub(crate) fn put_number_field(field: u64, number: u64, out: &mut Vec<u8>) {
    put_number(field << 1, out);
    put_number(number, out);
}

/// Appends a field with bytes.
pub(crate) fn put_bytes_field(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_number(field << 1 | 1, out);
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Takes the next field: its number and its value.
pub(crate) fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = take_number(bytes)?;
    let value = match tag & 1 {
        0 => Value::Number(take_number(bytes)?),
        _ => Value::Bytes(take_bytes(bytes)?),
    };
    Some((tag >> 1, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_byte_for_each_seven_bits() {
        for (number, length) in
            [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)]
        {
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            assert_eq!(bytes.len(), length);
            let mut rest = &bytes[..];
            assert_eq!(take_number(&mut rest), Some(number));
            assert!(rest.is_empty());
            for cut in 0..length {
                assert_eq!(take_number(&mut &bytes[..cut]), None, "{number} cut at {cut}");
            }
        }
        let mut too_large = [0xff; 10];
        too_large[9] = 2;
        assert_eq!(take_number(&mut &too_large[..]), None);
        assert_eq!(take_number(&mut &[0x80; 11][..]), None);
    }

    #[test]
    fn bytes_that_are_longer_than_what_is_left_are_refused() {
        assert_eq!(take_bytes(&mut &[2, 7][..]), None);
        assert_eq!(take_bytes(&mut &[2, 7, 8, 9][..]), Some(&[7, 8][..]));
    }
}
