//! Namespaces.

use super::{Labels, NAMESPACE_NAME_LABEL, Name};

/// What policy can see of a Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.name`
    pub name: Name,
    /// `metadata.labels`, always with `kubernetes.io/metadata.name` (semantics rule C6).
    pub labels: Labels,
}

impl Namespace {
    /// Builds a namespace and puts the name label in, whatever the given labels say of it (semantics rules A14, C6).
    pub fn new(name: Name, labels: &Labels) -> Self {
        let labels = Labels::new(labels.iter().chain([(NAMESPACE_NAME_LABEL, name.as_str())]));
        Self { name, labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_label_cannot_be_forged() {
        let name = Name::parse("shop").expect("valid");
        let namespace = Namespace::new(
            name,
            &Labels::new([(NAMESPACE_NAME_LABEL, "pay"), ("team", "a")]),
        );
        assert_eq!(namespace.labels.get(NAMESPACE_NAME_LABEL), Some("shop"));
        assert_eq!(namespace.labels.get("team"), Some("a"));
    }
}
