//! A place in an object: its value, the way to it, and the list that errors go to.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::path::{FieldPath, Segment};
use super::{FieldError, spelling};

/// A JSON value and where it stands.
///
/// `null` stands for the zero value of whatever is expected, as in Go: an empty object, list or string. Missing
/// fields and fields that are `null` are the same to the API, so [`Fields::get`] returns neither.
pub(super) struct Cursor<'a> {
    value: &'a Value,
    place: Place<'a>,
    errors: &'a RefCell<Vec<FieldError>>,
}

/// A linked list towards the root: paths are put together only when something is wrong.
enum Place<'a> {
    Root,
    Field(&'a Cursor<'a>, &'a str),
    Index(&'a Cursor<'a>, usize),
}

impl<'a> Cursor<'a> {
    pub(super) fn root(value: &'a Value, errors: &'a RefCell<Vec<FieldError>>) -> Self {
        Self {
            value,
            place: Place::Root,
            errors,
        }
    }

    /// The fields of an object, each of which must be one of `known`; `None`, and an error, if it is no object.
    pub(super) fn fields(&'a self, known: &[&str]) -> Option<Fields<'a>> {
        let mut fields = self.some_fields()?;
        for (name, value) in fields
            .map
            .into_iter()
            .flatten()
            .filter(|(name, _)| !known.contains(&name.as_str()))
        {
            fields.only_known = false;
            let near = spelling::nearest(name, known);
            self.field(name, value)
                .report::<()>(spelling::unknown(name, near));
        }
        Some(fields)
    }

    /// The fields of an object of which only some matter here; `None`, and an error, if it is no object.
    pub(super) fn some_fields(&'a self) -> Option<Fields<'a>> {
        let map = match self.value {
            Value::Object(map) => Some(map),
            Value::Null => None,
            _ => return self.wrong_type("an object"),
        };
        Some(Fields {
            cursor: self,
            map,
            only_known: true,
        })
    }

    /// The entries of a map, `null` values too; `None`, and an error, if it is none.
    pub(super) fn entries(&'a self) -> Option<impl Iterator<Item = (&'a str, Cursor<'a>)>> {
        let fields = self.some_fields()?;
        Some(
            fields
                .map
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.as_str(), self.field(key, value))),
        )
    }

    /// The items of a list, `null` items too; `None`, and an error, if it is no list.
    pub(super) fn items(&'a self) -> Option<impl ExactSizeIterator<Item = Cursor<'a>>> {
        let items: &[Value] = match self.value {
            Value::Array(items) => items,
            Value::Null => &[],
            _ => return self.wrong_type("a list"),
        };
        let child = |(i, value)| Cursor {
            value,
            place: Place::Index(self, i),
            errors: self.errors,
        };
        Some(items.iter().enumerate().map(child))
    }

    /// A string; `None`, and an error, if it is none.
    pub(super) fn string(&self) -> Option<&'a str> {
        match self.value {
            Value::String(text) => Some(text),
            Value::Null => Some(""),
            Value::Number(_) | Value::Bool(_) => self.wrong_type("a string: put it in quotes"),
            _ => self.wrong_type("a string"),
        }
    }

    /// A whole number; `None`, and an error, if it is none.
    pub(super) fn integer(&self) -> Option<i64> {
        match self.value {
            Value::Null => Some(0),
            Value::String(_) => self.wrong_type("a whole number, without quotes"),
            value => value.as_i64().or_else(|| self.wrong_type("a whole number")),
        }
    }

    /// `true` or `false`; `None`, and an error, if it is neither.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value {
            Value::Null => Some(false),
            value => value.as_bool().or_else(|| self.wrong_type("true or false")),
        }
    }

    /// The value as it stands.
    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    fn field(&'a self, name: &'a str, value: &'a Value) -> Self {
        Self {
            value,
            place: Place::Field(self, name),
            errors: self.errors,
        }
    }

    fn path(&self) -> FieldPath {
        let mut segments = Vec::new();
        let mut here = self;
        loop {
            here = match here.place {
                Place::Root => break,
                Place::Field(parent, name) => {
                    segments.push(Segment::Field(name.to_owned()));
                    parent
                }
                Place::Index(parent, index) => {
                    segments.push(Segment::Index(index));
                    parent
                }
            };
        }
        segments.into_iter().rev().collect()
    }

    /// Adds an error about this value. `None`, so that a reader may end with it.
    pub(super) fn report<T>(&self, problem: impl Into<String>) -> Option<T> {
        self.errors.borrow_mut().push(FieldError {
            path: self.path(),
            problem: problem.into(),
        });
        None
    }

    /// Adds the API server's "Invalid value" error.
    pub(super) fn invalid<T>(&self, reason: impl std::fmt::Display) -> Option<T> {
        self.report(format!("Invalid value: {}: {reason}", shown(self.value)))
    }

    /// Adds the API server's "Unsupported value" error.
    pub(super) fn not_supported<T>(&self, supported: &[&str]) -> Option<T> {
        let listed: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        self.report(format!(
            "Unsupported value: {}: supported values: {}",
            shown(self.value),
            listed.join(", ")
        ))
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        self.invalid(format!("must be {expected}"))
    }
}

/// A value as an error message shows it: as JSON, and not at any length.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}

/// The fields of an object.
pub(super) struct Fields<'a> {
    cursor: &'a Cursor<'a>,
    map: Option<&'a Map<String, Value>>,
    only_known: bool,
}

impl<'a> Fields<'a> {
    /// A field, `null` if it is not there.
    pub(super) fn get_or_null(&self, name: &'a str) -> Cursor<'a> {
        let value = self
            .map
            .and_then(|map| map.get(name))
            .unwrap_or(&Value::Null);
        self.cursor.field(name, value)
    }

    /// A field that is there and not `null`.
    pub(super) fn get(&self, name: &'a str) -> Option<Cursor<'a>> {
        let value = self.map?.get(name)?;
        (!value.is_null()).then(|| self.cursor.field(name, value))
    }

    /// Whether the object had no unknown field.
    pub(super) fn only_known(&self) -> bool {
        self.only_known
    }

    /// Adds the API server's "Required value" error about a field that is not there.
    pub(super) fn required<T>(&self, name: &'a str, detail: &str) -> Option<T> {
        let separator = if detail.is_empty() { "" } else { ": " };
        self.cursor
            .field(name, &Value::Null)
            .report(format!("Required value{separator}{detail}"))
    }

    /// Adds an error about a field that is not there.
    pub(super) fn missing<T>(&self, name: &'a str, problem: &str) -> Option<T> {
        self.cursor.field(name, &Value::Null).report(problem)
    }
}
