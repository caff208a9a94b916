//! Label selectors.

use serde_json::Value;

use super::cursor::Cursor;
use super::metadata::checked_label;
use crate::model::{
    LABEL_KEY_RULE, LABEL_VALUE_RULE, Operator, Requirement, Selector, is_label_key, is_label_value,
};

/// A selector as far as it could be read.
#[derive(Default)]
pub(super) struct ReadSelector {
    /// Selects at least what the author can have meant.
    pub(super) superset: Selector,
    /// Whether something of it could not be evaluated, so that `superset` may select more.
    pub(super) widened: bool,
}

impl ReadSelector {
    /// The selector, if it says exactly what the author wrote.
    pub(super) fn exact(self) -> Option<Selector> {
        (!self.widened).then_some(self.superset)
    }
}

/// Reads a selector (semantics rules C1 to C4).
pub(super) fn selector(selector: &Cursor<'_>) -> ReadSelector {
    let Some(fields) = selector.fields(&["matchLabels", "matchExpressions"]) else {
        return ReadSelector {
            superset: Selector::everything(),
            widened: true,
        };
    };
    let mut requirements = Vec::new();
    if let Some(labels) = fields.get("matchLabels") {
        match labels.entries() {
            Some(entries) => requirements.extend(entries.map(|(key, entry)| {
                let value = checked_label(key, &entry)?;
                Some(Requirement::equals(key, value))
            })),
            None => requirements.push(None),
        }
    }
    if let Some(expressions) = fields.get("matchExpressions") {
        match expressions.items() {
            Some(items) => requirements.extend(items.map(|item| requirement(&item))),
            None => requirements.push(None),
        }
    }
    let widened = !fields.only_known() || requirements.contains(&None);
    ReadSelector {
        superset: Selector::new(requirements.into_iter().flatten()),
        widened,
    }
}

/// One item of `matchExpressions`; `None` if it cannot be evaluated.
fn requirement(item: &Cursor<'_>) -> Option<Requirement> {
    let fields = item.fields(&["key", "operator", "values"])?;
    let key = match fields.get("key") {
        Some(field) => field.string().inspect(|key| {
            if !is_label_key(key) {
                field.invalid::<()>(LABEL_KEY_RULE);
            }
        }),
        None => fields.required("key", ""),
    };
    let operator = match fields.get("operator") {
        Some(field) => operator(&field),
        None => fields.required("operator", "one of In, NotIn, Exists, DoesNotExist"),
    };
    let field = fields.get("values");
    let values = match &field {
        Some(field) => values(field),
        None => Some(Vec::new()),
    };
    if let (Some(operator), Some(values)) = (operator, &values) {
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                fields.required::<()>(
                    "values",
                    "must be specified when `operator` is 'In' or 'NotIn'",
                );
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                let problem =
                    "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                fields.missing::<()>("values", problem);
            }
            _ => {}
        }
    }
    if !fields.only_known() {
        return None;
    }
    Requirement::new(key.filter(|key| !key.is_empty())?, operator?, values?)
}

fn operator(field: &Cursor<'_>) -> Option<Operator> {
    match field.string()? {
        "In" => Some(Operator::In),
        "NotIn" => Some(Operator::NotIn),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        _ => field.invalid("not a valid selector operator: use In, NotIn, Exists or DoesNotExist"),
    }
}

fn values<'a>(field: &'a Cursor<'a>) -> Option<Vec<&'a str>> {
    // A missing value would change what the requirement selects, so one bad value spoils all; each is reported.
    let values: Vec<Option<&str>> = field
        .items()?
        .map(|item| {
            let value = match item.value() {
                Value::Null => "",
                _ => item.string()?,
            };
            if !is_label_value(value) {
                item.invalid::<()>(LABEL_VALUE_RULE);
            }
            Some(value)
        })
        .collect();
    values.into_iter().collect()
}
