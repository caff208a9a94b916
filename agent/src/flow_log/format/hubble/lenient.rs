//! Small differences between those who write protobuf's JSON.

use serde::{Deserialize, Deserializer, Serializer};

/// Whether a field says nothing; protobuf leaves it out then.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Count(u64),
    Number(f64),
}

/// An enum's value: its name, or its number as text if the writer did not know the name.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match TextOrNumber::deserialize(from)? {
        TextOrNumber::Text(text) => text,
        TextOrNumber::Count(number) => number.to_string(),
        TextOrNumber::Number(number) => number.to_string(),
    })
}

/// A number of things: as a string, as protobuf writes 64-bit numbers, or as a number, perhaps with a fraction of zero,
/// as programs do that know only floating point.
pub(super) fn count<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match TextOrNumber::deserialize(from)? {
        TextOrNumber::Count(count) => Ok(count),
        TextOrNumber::Text(text) => text.parse().map_err(serde::de::Error::custom),
        TextOrNumber::Number(number) => format!("{number:.0}")
            .parse()
            .map_err(|_| serde::de::Error::custom(format!("{number} is not a count"))),
    }
}

/// As protobuf writes 64-bit numbers.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn write_count<S: Serializer>(count: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(count)
}
