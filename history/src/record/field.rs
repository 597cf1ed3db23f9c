//! The members of a body: each knows how it is stored, and how it looks in JSON.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use crate::histogram::Histogram;
use crate::wire::{
    Value, put_bytes_field, put_number, put_number_field, take_bytes, take_number,
};

/// A text in a record. A writer borrows the names that it knows, so that it need not allocate.
pub type Text = Cow<'static, str>;

/// The longest text that is stored, in bytes. A longer one is cut.
const LONGEST_TEXT: usize = 1024;

/// A body, or a part of one: the struct and how it is stored.
pub(crate) trait Body: Default {
    fn encode(&self, out: &mut Vec<u8>);

    /// `None` if the bytes are not a body of this type.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Adds the members to a JSON object.
    fn show(&self, members: &mut Map<String, Json>);
}

/// Declares a struct and its [`Body`]. The number before each member is that of its field, which
/// never changes.
macro_rules! body {
    (
        $(#[$about:meta])*
        $name:ident { $($(#[$doc:meta])* $number:literal $member:ident: $type:ty,)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$doc])* pub $member: $type,)* }

        impl $crate::record::field::Body for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::record::field::Field::put(&self.$member, $number, out);)*
            }

            fn decode(mut bytes: &[u8]) -> Option<Self> {
                let mut body = Self::default();
                while !bytes.is_empty() {
                    let (number, value) = $crate::wire::take_field(&mut bytes)?;
                    match number {
                        $($number => {
                            $crate::record::field::Field::set(&mut body.$member, value)?;
                        })*
                        _ => {}
                    }
                }
                Some(body)
            }

            fn show(&self, members: &mut serde_json::Map<String, serde_json::Value>) {
                $($crate::record::field::Field::show(
                    &self.$member, stringify!($member), members,
                );)*
            }
        }
    };
}
pub(crate) use body;

/// A member of a body. One that has its default value is not stored, but it is shown.
pub(crate) trait Field {
    fn put(&self, number: u64, out: &mut Vec<u8>);

    fn set(&mut self, value: Value<'_>) -> Option<()>;

    fn show(&self, name: &str, members: &mut Map<String, Json>);
}

/// A value that can also be absent: then it is neither stored nor shown.
pub(crate) trait Scalar: Sized {
    fn put(&self, number: u64, out: &mut Vec<u8>);

    fn take(value: Value<'_>) -> Option<Self>;

    fn json(&self) -> Json;
}

impl<T: Scalar + Default + PartialEq> Field for T {
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        if *self != T::default() {
            Scalar::put(self, number, out);
        }
    }

    fn set(&mut self, value: Value<'_>) -> Option<()> {
        *self = T::take(value)?;
        Some(())
    }

    fn show(&self, name: &str, members: &mut Map<String, Json>) {
        members.insert(name.to_owned(), self.json());
    }
}

impl<T: Scalar> Field for Option<T> {
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.put(number, out);
        }
    }

    fn set(&mut self, value: Value<'_>) -> Option<()> {
        *self = Some(T::take(value)?);
        Some(())
    }

    fn show(&self, name: &str, members: &mut Map<String, Json>) {
        if let Some(value) = self {
            members.insert(name.to_owned(), value.json());
        }
    }
}

/// Members of a body that may be absent together. In JSON they are members of the whole.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Part<T>(pub Option<T>);

impl<T: Body> Field for Part<T> {
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        if let Some(part) = &self.0 {
            let mut bytes = Vec::new();
            part.encode(&mut bytes);
            put_bytes_field(number, &bytes, out);
        }
    }

    fn set(&mut self, value: Value<'_>) -> Option<()> {
        let Value::Bytes(bytes) = value else { return None };
        self.0 = Some(T::decode(bytes)?);
        Some(())
    }

    fn show(&self, _: &str, members: &mut Map<String, Json>) {
        if let Some(part) = &self.0 {
            part.show(members);
        }
    }
}

/// A list of bodies, each with its length before it.
impl<T: Body> Field for Vec<T> {
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        let (mut all, mut one) = (Vec::new(), Vec::new());
        for each in self {
            one.clear();
            each.encode(&mut one);
            put_number(one.len() as u64, &mut all);
            all.extend_from_slice(&one);
        }
        if !all.is_empty() {
            put_bytes_field(number, &all, out);
        }
    }

    fn set(&mut self, value: Value<'_>) -> Option<()> {
        let Value::Bytes(mut bytes) = value else { return None };
        while !bytes.is_empty() {
            self.push(T::decode(take_bytes(&mut bytes)?)?);
        }
        Some(())
    }

    fn show(&self, name: &str, members: &mut Map<String, Json>) {
        let objects = self.iter().map(|each| {
            let mut members = Map::new();
            each.show(&mut members);
            Json::Object(members)
        });
        members.insert(name.to_owned(), objects.collect());
    }
}

/// Pairs of numbers: how many empty buckets come before a bucket, and its count.
impl Field for Histogram {
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        let (mut bytes, mut next) = (Vec::new(), 0);
        for (bucket, count) in self.counted() {
            put_number((bucket - next) as u64, &mut bytes);
            put_number(count, &mut bytes);
            next = bucket + 1;
        }
        if !bytes.is_empty() {
            put_bytes_field(number, &bytes, out);
        }
    }

    fn set(&mut self, value: Value<'_>) -> Option<()> {
        let Value::Bytes(mut bytes) = value else { return None };
        let mut next = 0usize;
        while !bytes.is_empty() {
            let bucket = next.checked_add(usize::try_from(take_number(&mut bytes)?).ok()?)?;
            let count = take_number(&mut bytes)?;
            if bucket >= Self::BUCKETS {
                return None;
            }
            self.add(Self::bounds(bucket).0, count);
            next = bucket + 1;
        }
        Some(())
    }

    /// As pairs: a length in nanoseconds that is wrong by at most 6 %, and the count.
    fn show(&self, name: &str, members: &mut Map<String, Json>) {
        let pairs =
            self.counted().map(|(bucket, count)| Json::from([Self::middle(bucket), count]));
        members.insert(name.to_owned(), pairs.collect());
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Scalar for $type {
            fn put(&self, number: u64, out: &mut Vec<u8>) {
                put_number_field(number, (*self).into(), out);
            }

            fn take(value: Value<'_>) -> Option<Self> {
                let Value::Number(number) = value else { return None };
                number.try_into().ok()
            }

            fn json(&self) -> Json {
                (*self).into()
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64);

impl Scalar for bool {
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        put_number_field(number, (*self).into(), out);
    }

    fn take(value: Value<'_>) -> Option<Self> {
        Some(u8::take(value)? != 0)
    }

    fn json(&self) -> Json {
        (*self).into()
    }
}

/// Zigzag: the sign is the lowest bit.
impl Scalar for i32 {
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        let zigzag = (self << 1) ^ (self >> 31);
        put_number_field(number, zigzag.cast_unsigned().into(), out);
    }

    fn take(value: Value<'_>) -> Option<Self> {
        let zigzag = u32::take(value)?;
        Some((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
    }

    fn json(&self) -> Json {
        (*self).into()
    }
}

impl Scalar for Text {
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        let ends = (0..=LONGEST_TEXT.min(self.len())).rev();
        let text = ends.map(|end| self.get(..end)).find_map(|text| text).unwrap_or_default();
        put_bytes_field(number, text.as_bytes(), out);
    }

    fn take(value: Value<'_>) -> Option<Self> {
        let Value::Bytes(bytes) = value else { return None };
        Some(Self::Owned(std::str::from_utf8(bytes).ok()?.to_owned()))
    }

    fn json(&self) -> Json {
        self.as_ref().into()
    }
}
