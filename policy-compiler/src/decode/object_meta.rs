//! Strict validation of a NetworkPolicy's whole `metadata`, of which policy uses little.

use super::cursor::{Cursor, Fields};
use super::metadata::checked_label;
use crate::model::{LABEL_KEY_RULE, is_label_key};

const KNOWN: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// The fields of `metadata`, after everything but `name` and `namespace` has been checked.
pub(super) fn strict<'a>(metadata: &'a Cursor<'a>) -> Option<Fields<'a>> {
    let fields = metadata.fields(&KNOWN)?;
    for name in [
        "generateName",
        "selfLink",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
    ] {
        if let Some(field) = fields.get(name) {
            field.string();
        }
    }
    for name in ["generation", "deletionGracePeriodSeconds"] {
        if let Some(field) = fields.get(name) {
            field.integer();
        }
    }
    check_map(fields.get("labels").as_ref(), |key, entry| {
        checked_label(key, entry);
    });
    check_map(fields.get("annotations").as_ref(), |key, entry| {
        check_key(&key.to_lowercase(), entry);
        entry.string();
    });
    check_items(fields.get("finalizers").as_ref(), |finalizer| {
        if let Some(text) = finalizer.string() {
            check_key(text, finalizer);
        }
    });
    check_items(fields.get("ownerReferences").as_ref(), owner_reference);
    // Written by the API server alone.
    check_items(fields.get("managedFields").as_ref(), |entry| {
        entry.some_fields();
    });
    Some(fields)
}

fn check_map(map: Option<&Cursor<'_>>, check: impl Fn(&str, &Cursor<'_>)) {
    for (key, entry) in map.and_then(Cursor::entries).into_iter().flatten() {
        check(key, &entry);
    }
}

fn check_items(list: Option<&Cursor<'_>>, check: impl Fn(&Cursor<'_>)) {
    for item in list.and_then(Cursor::items).into_iter().flatten() {
        check(&item);
    }
}

fn check_key(key: &str, field: &Cursor<'_>) {
    if !is_label_key(key) {
        field.report::<()>(format!("Invalid value: {key:?}: {LABEL_KEY_RULE}"));
    }
}

fn owner_reference(owner: &Cursor<'_>) {
    let known = [
        "apiVersion",
        "kind",
        "name",
        "uid",
        "controller",
        "blockOwnerDeletion",
    ];
    let Some(fields) = owner.fields(&known) else {
        return;
    };
    for name in ["apiVersion", "kind", "name", "uid"] {
        match fields.get(name) {
            Some(field) => {
                if field.string() == Some("") {
                    field.invalid::<()>("must not be empty");
                }
            }
            None => fields
                .missing(name, "Invalid value: \"\": must not be empty")
                .unwrap_or_default(),
        }
    }
    for name in ["controller", "blockOwnerDeletion"] {
        if let Some(field) = fields.get(name) {
            field.boolean();
        }
    }
}
