//! Reads and checks the fields of a vector.

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

    pub(crate) fn list(&self, name: &str) -> Result<&'a [Value], Failure> {
        self.read(name, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    /// Fails for any other field.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), Failure> {
        match self.0.keys().find(|name| !names.contains(&name.as_str())) {
            Some(other) => Err(Failure::new("fields", &names.join(", "), other)),
            None => Ok(()),
        }
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

    /// A number, which is never converted to a double.
    pub(crate) fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<T, Failure> {
        let expected = format!("an unsigned number of {} bits", 8 * size_of::<T>());
        self.read(name, &expected, |value| T::try_from(value.as_u64()?).ok())
    }

    pub(crate) fn numbers<T: TryFrom<u64>>(&self, name: &str) -> Result<Vec<T>, Failure> {
        let expected = format!("unsigned numbers of {} bits", 8 * size_of::<T>());
        let number = |value: &Value| T::try_from(value.as_u64()?).ok();
        self.read(name, &expected, |value| value.as_array()?.iter().map(number).collect())
    }

    /// All fields, each of which is a number.
    pub(crate) fn all<T: TryFrom<u64>>(&self) -> Result<Vec<(&'a str, T)>, Failure> {
        self.0.keys().map(|name| Ok((name.as_str(), self.number(name)?))).collect()
    }

    pub(crate) fn signed<T: TryFrom<i64>>(&self, name: &str) -> Result<T, Failure> {
        let expected = format!("a signed number of {} bits", 8 * size_of::<T>());
        self.read(name, &expected, |value| T::try_from(value.as_i64()?).ok())
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<bool, Failure> {
        self.read(name, "true or false", Value::as_bool)
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, Failure> {
        self.read(name, "lower-case hex", |value| from_hex(value.as_str()?))
    }

    pub(crate) fn array<const N: usize>(&self, name: &str) -> Result<[u8; N], Failure> {
        let expected = format!("{N} bytes in lower-case hex");
        self.read(name, &expected, |value| from_hex(value.as_str()?)?.try_into().ok())
    }

    pub(crate) fn arrays<const N: usize>(&self, name: &str) -> Result<Vec<[u8; N]>, Failure> {
        let expected = format!("a list of {N} bytes each in lower-case hex");
        let bytes = |value: &Value| from_hex(value.as_str()?)?.try_into().ok();
        self.read(name, &expected, |value| value.as_array()?.iter().map(bytes).collect())
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
