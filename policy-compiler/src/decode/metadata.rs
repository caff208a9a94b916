//! The parts of `metadata` that policy uses: identity and labels.

use super::Kind;
use super::cursor::{Cursor, Fields};
use crate::model::{
    LABEL_KEY_RULE, LABEL_VALUE_RULE, Labels, Name, ObjectKey, is_label_key, is_label_value,
};

/// Objects in a typed list carry neither `apiVersion` nor `kind`; what is there must be right. Empty is not there.
pub(super) fn check_kind(object: &Fields<'_>, kind: Kind) {
    for (field, expected) in [("apiVersion", kind.api_version()), ("kind", kind.name())] {
        if let Some(found) = object.get(field)
            && found
                .string()
                .is_some_and(|text| !text.is_empty() && text != expected)
        {
            found.not_supported::<()>(&[expected]);
        }
    }
}

/// `namespace` and `name` of a namespaced object; `None`, and an error, if either is unusable. Without `namespace`
/// it is `default`, where kubectl would put the object (semantics rule A14).
pub(super) fn identity(metadata: &Fields<'_>) -> Option<ObjectKey> {
    let namespace = match metadata.get("namespace") {
        // An empty namespace is no namespace, to the API too.
        Some(field) => field.string().and_then(|text| match text {
            "" => Name::parse("default").ok(),
            text => parse_namespace_name(text, &field),
        }),
        None => Name::parse("default").ok(),
    };
    let name = name(metadata);
    Some(ObjectKey::new(namespace?, name?))
}

/// `name` of an object whose names are DNS subdomains.
fn name(metadata: &Fields<'_>) -> Option<Name> {
    let (field, text) = named(metadata)?;
    Name::parse(text)
        .map_err(|error| field.invalid::<()>(error))
        .ok()
}

/// `name` of a Namespace.
pub(super) fn namespace_name(metadata: &Fields<'_>) -> Option<Name> {
    let (field, text) = named(metadata)?;
    parse_namespace_name(text, &field)
}

fn named<'a>(metadata: &Fields<'a>) -> Option<(Cursor<'a>, &'a str)> {
    let Some(field) = metadata.get("name") else {
        return metadata.required(
            "name",
            "without a name an object cannot be told from others",
        );
    };
    match field.string()? {
        "" => metadata.required(
            "name",
            "without a name an object cannot be told from others",
        ),
        text => Some((field, text)),
    }
}

/// Names of namespaces are single DNS labels: shorter than other names, and without dots.
fn parse_namespace_name(text: &str, field: &Cursor<'_>) -> Option<Name> {
    if text.len() > 63 {
        return field.invalid("must be no more than 63 bytes");
    }
    if text.contains('.') {
        return field.invalid("must not contain dots");
    }
    Name::parse(text)
        .map_err(|error| field.invalid::<()>(error))
        .ok()
}

/// `labels`. A pair of bad syntax is reported but kept, because it can be compared; only a NUL, which could forge
/// another label, is left out.
pub(super) fn labels(metadata: &Fields<'_>) -> Labels {
    metadata
        .get("labels")
        .map(|labels| Labels::new(label_pairs(&labels)))
        .unwrap_or_default()
}

fn label_pairs<'a>(labels: &'a Cursor<'a>) -> Vec<(&'a str, &'a str)> {
    let Some(entries) = labels.entries() else {
        return Vec::new();
    };
    let pairs = entries.filter_map(|(key, entry)| {
        let value = checked_label(key, &entry)?;
        Some((key, value))
    });
    pairs.collect()
}

/// One entry of a label map: reports bad syntax, returns the value unless it is no string.
pub(super) fn checked_label<'a>(key: &str, entry: &Cursor<'a>) -> Option<&'a str> {
    if !is_label_key(key) {
        entry.report::<()>(format!("Invalid value: {key:?}: {LABEL_KEY_RULE}"));
    }
    let value = entry.string()?;
    if !is_label_value(value) {
        entry.invalid::<()>(LABEL_VALUE_RULE);
    }
    Some(value)
}
