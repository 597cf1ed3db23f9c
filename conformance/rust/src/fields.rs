//! The fields of a vector, each read as what it must be.

use serde_json::{Map, Value};

use crate::failure::Failure;

pub(crate) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(crate) fn new(value: &'a Value) -> Result<Self, Failure> {
        value
            .as_object()
            .map(Self)
            .ok_or_else(|| Failure::new("vector", "a JSON object", value))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn object(&self, name: &str) -> Result<Self, Failure> {
        self.read(name, "a JSON object", |value| value.as_object().map(Self))
    }

    pub(crate) fn null(&self, name: &str) -> Result<(), Failure> {
        self.read(name, "null", Value::as_null)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Failure> {
        self.read(name, "a string", Value::as_str)
    }

    pub(crate) fn text_or_null(&self, name: &str) -> Result<Option<&'a str>, Failure> {
        self.read(name, "a string or null", |value| match value {
            Value::Null => Some(None),
            value => value.as_str().map(Some),
        })
    }

    /// A number, never by way of a double.
    pub(crate) fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<T, Failure> {
        let expected = format!("an unsigned number of {} bits", 8 * size_of::<T>());
        self.read(name, &expected, |value| T::try_from(value.as_u64()?).ok())
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, Failure> {
        self.read(name, "lower-case hex", |value| from_hex(value.as_str()?))
    }

    pub(crate) fn array<const N: usize>(&self, name: &str) -> Result<[u8; N], Failure> {
        let expected = format!("{N} bytes in lower-case hex");
        self.read(name, &expected, |value| from_hex(value.as_str()?)?.try_into().ok())
    }

    fn read<T>(
        &self,
        name: &str,
        expected: &str,
        reader: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Failure> {
        let value = self.0.get(name).ok_or_else(|| Failure::new(name, expected, "nothing"))?;
        reader(value).ok_or_else(|| Failure::new(name, expected, value))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |character: u8| match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}
