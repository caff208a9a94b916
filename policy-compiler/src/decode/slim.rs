//! JSON read without what nobody looks at: of a pod's 3 KB or more, a few hundred bytes become values.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Kind;

/// Which parts of a value are kept. What is of another shape is kept whole, so that an error can show it.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    All,
    /// Of an object, these fields.
    Fields(&'static [(&'static str, Keep)]),
    /// Of each item of a list.
    Items(&'static Keep),
}

const POD: Keep = Keep::Fields(&[
    ("apiVersion", Keep::All),
    ("kind", Keep::All),
    (
        "metadata",
        Keep::Fields(&[
            ("name", Keep::All),
            ("namespace", Keep::All),
            ("uid", Keep::All),
            ("resourceVersion", Keep::All),
            ("labels", Keep::All),
            ("ownerReferences", Keep::All),
        ]),
    ),
    (
        "spec",
        Keep::Fields(&[
            ("nodeName", Keep::All),
            ("hostNetwork", Keep::All),
            ("containers", CONTAINERS),
            ("initContainers", CONTAINERS),
        ]),
    ),
    (
        "status",
        Keep::Fields(&[
            ("phase", Keep::All),
            ("podIP", Keep::All),
            ("podIPs", Keep::All),
        ]),
    ),
]);

const CONTAINERS: Keep = Keep::Items(&Keep::Fields(&[
    ("restartPolicy", Keep::All),
    ("ports", Keep::All),
]));

const NAMESPACE: Keep = Keep::Fields(&[
    ("apiVersion", Keep::All),
    ("kind", Keep::All),
    (
        "metadata",
        Keep::Fields(&[
            ("name", Keep::All),
            ("namespace", Keep::All),
            ("resourceVersion", Keep::All),
            ("labels", Keep::All),
        ]),
    ),
]);

impl Keep {
    /// What is kept of objects of a kind.
    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Pod => POD,
            Kind::Namespace => NAMESPACE,
            // Any unknown field matters.
            Kind::NetworkPolicy => Self::All,
        }
    }
}

impl Kind {
    /// Reads an object of this kind as JSON, without what its decoder does not look at. `metadata.resourceVersion` stays.
    /// Decoding what is left gives the same object and the same errors.
    pub fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Keep::of(self).deserialize(deserializer)
    }
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Self::All => Value::deserialize(deserializer),
            Self::Fields(_) | Self::Items(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let Self::Fields(fields) = self else {
            return Value::deserialize(MapAccessDeserializer::new(object));
        };
        let mut kept = Map::new();
        while let Some(field) = object.next_key_seed(OneOf(fields))? {
            if let Some((name, keep)) = field {
                kept.insert(name.to_owned(), object.next_value_seed(keep)?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let Self::Items(keep) = self else {
            return Value::deserialize(SeqAccessDeserializer::new(list));
        };
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(*keep)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// Reads a field's name: nothing if it is none of these.
struct OneOf(&'static [(&'static str, Keep)]);

impl<'de> DeserializeSeed<'de> for OneOf {
    type Value = Option<(&'static str, Keep)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for OneOf {
    type Value = Option<(&'static str, Keep)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(field, _)| *field == name).copied())
    }
}
