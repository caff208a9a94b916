//! A YAML or JSON value that remembers where each part of it stands in the file.

use std::fmt;

use policy_compiler::decode::{FieldPath, Segment};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};
use serde_saphyr::{Location, Spanned};

/// A place in a document: line and column count from 1, the column and the width in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) width: usize,
    /// Bytes of the document before the place, if that is known.
    pub(super) offset: Option<usize>,
}

impl From<Location> for Span {
    fn from(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            line: number(location.line()),
            column: number(location.column()),
            width: number(location.span().len()),
            offset: location.span().byte_offset().map(number),
        }
    }
}

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    value: Value,
    span: Span,
}

#[derive(Debug)]
enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<Field>),
}

#[derive(Debug)]
struct Field {
    key: String,
    key_span: Span,
    node: Node,
}

impl Field {
    /// The value, unless that is absent or starts on a later line: then the key is what the eye looks for.
    fn span(&self) -> Span {
        let nothing = self.node.span.width == 0 && matches!(self.node.value, Value::Null);
        if nothing || self.node.span.line != self.key_span.line {
            self.key_span
        } else {
            self.node.span
        }
    }
}

impl Node {
    pub(super) fn span(&self) -> Span {
        self.span
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.field(key).map(|field| &field.node)
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    fn field(&self, key: &str) -> Option<&Field> {
        match &self.value {
            Value::Map(fields) => fields.iter().find(|field| field.key == key),
            _ => None,
        }
    }

    /// Where `path` stands, or as much of it as there is.
    pub(super) fn locate(&self, path: &FieldPath) -> Span {
        let (mut node, mut span) = (self, self.span);
        for segment in path {
            match (segment, &node.value) {
                (Segment::Field(key), Value::Map(_)) => match node.field(key) {
                    Some(field) => (node, span) = (&field.node, field.span()),
                    None => break,
                },
                (Segment::Index(index), Value::List(items)) => match items.get(*index) {
                    Some(item) => (node, span) = (item, item.span),
                    None => break,
                },
                _ => break,
            }
        }
        span
    }

    /// Where the value of one field stands; the place of the whole if there is no such field.
    pub(super) fn locate_field(&self, key: &str) -> Span {
        self.field(key).map_or(self.span, Field::span)
    }

    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.clone()),
            Value::String(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(fields) => Json::Object(
                fields
                    .iter()
                    .map(|f| (f.key.clone(), f.node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        // For an alias this is the anchored text, where a mistake has to be mended.
        Ok(Self {
            value: spanned.value,
            span: spanned.defined.into(),
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // `80.0` and `8e1` are written `80` by every tool that turns YAML into JSON for the API server.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the bounds are those of exact integers"
        )]
        let number = if value.fract() == 0.0 && value.abs() < 9.0e15 {
            Some(Number::from(value as i64))
        } else {
            Number::from_f64(value)
        };
        Ok(number.map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((key, node)) = access.next_entry::<Spanned<String>, Node>()? {
            fields.push(Field {
                key: key.value,
                key_span: key.defined.into(),
                node,
            });
        }
        Ok(Value::Map(fields))
    }
}
