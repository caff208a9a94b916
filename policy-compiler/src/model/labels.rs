//! Labels of pods and namespaces.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The label the API server forces on every Namespace (semantics rule C6).
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What the API server says of a bad label key.
pub const LABEL_KEY_RULE: &str = "must be a qualified name: an optional DNS subdomain prefix and '/', then 1 to 63 \
     alphanumeric characters, '-', '_' or '.', starting and ending with an alphanumeric character";

/// What the API server says of a bad label value.
pub const LABEL_VALUE_RULE: &str = "must be empty or at most 63 alphanumeric characters, '-', '_' or '.', starting and \
     ending with an alphanumeric character";

/// The labels of one object, sorted by key, in a single allocation that clones share.
///
/// A map would cost two allocations and some fifty bytes of overhead for each label; there may be hundreds of
/// thousands of pods. Objects carry a handful of labels, so a scan is as fast as a look-up.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// `key NUL value NUL key NUL value NUL …`
    text: Arc<str>,
}

impl Labels {
    /// Collects labels. A key given twice keeps its last value; keys and values must not contain NUL, which
    /// [`is_label_key`] and [`is_label_value`] exclude (a pair that does is left out: it can match nothing).
    pub fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let pairs: Vec<(K, V)> = pairs.into_iter().collect();
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref()));
        let sorted: BTreeMap<&str, &str> = pairs
            .filter(|(key, value)| !key.contains('\0') && !value.contains('\0'))
            .collect();
        let mut text =
            String::with_capacity(sorted.iter().map(|(k, v)| k.len() + v.len() + 2).sum());
        for (key, value) in sorted {
            text.extend([key, "\0", value, "\0"]);
        }
        Self { text: text.into() }
    }

    /// The value of `key`; an empty value is `Some("")`, a missing key `None` (semantics rule C3).
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(k, v)| (k == key).then_some(v))
    }

    /// All labels by ascending key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.text.split('\0');
        std::iter::from_fn(move || {
            let key = parts.next()?;
            let value = parts.next()?;
            Some((key, value))
        })
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Bytes on the heap.
    pub fn heap_size(&self) -> usize {
        self.text.len()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Whether `key` is a valid label key: `[prefix/]name`.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(|p| super::Name::parse(p).is_ok()) && !name.is_empty() && is_label_value(name)
}

/// Whether `value` is a valid label value.
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.last().is_none_or(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_and_missing_keys_differ() {
        let labels = Labels::new([("b", ""), ("a", "1")]);
        assert_eq!(labels.get("b"), Some(""));
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "")]);
        assert!(Labels::default().iter().next().is_none());
    }

    #[test]
    fn a_nul_cannot_forge_a_second_label() {
        assert!(Labels::new([("a", "1\0admin\0yes")]).is_empty());
    }

    #[test]
    fn label_syntax() {
        for key in ["a", "A_b.c-d", "example.com/a", "x/1"] {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "a/b/c", "-a", "a-", "A.com/a", "a b"] {
            assert!(!is_label_key(key), "{key}");
        }
        for value in ["", "a", "A_1.b-c"] {
            assert!(is_label_value(value), "{value}");
        }
        for value in ["-a", "a/b", "a b", "ä", "x".repeat(64).as_str()] {
            assert!(!is_label_value(value), "{value}");
        }
    }
}
