//! Where in an object a field is.

use std::fmt;

/// The way from an object's root to one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Into a field of an object, or an entry of a map such as `labels`.
    Field(String),
    /// Into an item of a list, counted from 0.
    Index(usize),
}

impl FieldPath {
    /// The path of the object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps, outermost first.
    pub fn iter(&self) -> std::slice::Iter<'_, Segment> {
        self.0.iter()
    }

    /// The path of what holds this field; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, outer) = self.0.split_last()?;
        Some(Self(outer.to_vec()))
    }

    /// Whether this is `other` or lies within it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a FieldPath {
    type Item = &'a Segment;
    type IntoIter = std::slice::Iter<'a, Segment>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for FieldPath {
    /// `spec.ingress[0].ports[1].endPort`; an entry of a map whose key is no plain word is `labels[a.b/c]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Field(name) if !is_word(name) => write!(f, "[{}]", name.escape_debug())?,
                Segment::Field(name) if i == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

fn is_word(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_the_api_server_writes_them() {
        let field = |name: &str| Segment::Field(name.to_owned());
        let path: FieldPath = [
            field("spec"),
            field("ingress"),
            Segment::Index(0),
            field("from"),
        ]
        .into_iter()
        .collect();
        assert_eq!(path.to_string(), "spec.ingress[0].from");
        let label: FieldPath = [field("metadata"), field("labels"), field("a.b/c")]
            .into_iter()
            .collect();
        assert_eq!(label.to_string(), "metadata.labels[a.b/c]");
        assert_eq!(FieldPath::root().to_string(), "");
        assert_eq!(
            label.parent().map(|p| p.to_string()).as_deref(),
            Some("metadata.labels")
        );
        assert!(label.is_within(&FieldPath::root()) && !path.is_within(&label));
    }
}
