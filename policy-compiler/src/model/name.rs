//! Object names and `namespace/name` identities.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a pod, namespace, policy or node: a DNS-1123 subdomain, 1 to 253 bytes of `[a-z0-9.-]`.
///
/// The character set is what makes a `Name` safe to place inside an nft identifier: it holds no `/`, no quote
/// and no space, so `pod/a-b/c` and `pod/a/b-c` can never be the same chain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a string is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The string is empty.
    #[error("must not be empty")]
    Empty,
    /// The string is longer than 253 bytes.
    #[error("must be no more than 253 bytes")]
    TooLong,
    /// The string is not a DNS-1123 subdomain.
    #[error(
        "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
    )]
    Syntax,
}

impl Name {
    /// Parses a DNS-1123 subdomain (API field `metadata.name`).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > 253 {
            return Err(NameError::TooLong);
        }
        if text.split('.').all(is_dns_label) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Syntax)
        }
    }

    /// A name that no other sorts before: where a range over a namespace's objects begins.
    pub(crate) fn lowest() -> Self {
        Self("".into())
    }

    /// Whether there are clones of this.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The identity of a namespaced object, printed `namespace/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `metadata.namespace`
    pub namespace: Name,
    /// `metadata.name`
    pub name: Name,
}

impl ObjectKey {
    /// Joins a namespace and a name.
    pub fn new(namespace: Name, name: Name) -> Self {
        Self { namespace, name }
    }
}

impl FromStr for ObjectKey {
    type Err = NameError;

    /// Reads `namespace/name`; a bare `name` is in namespace `default`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
        Ok(Self::new(Name::parse(namespace)?, Name::parse(name)?))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_subdomains() {
        let longest = format!("{}.{}", "a".repeat(200), "b".repeat(52));
        for good in ["a", "a-b.c", "0", longest.as_str()] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(254);
        for bad in [
            "",
            "A",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a_b",
            "a/b",
            "a b",
            "a\"b",
            too_long.as_str(),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }
}
