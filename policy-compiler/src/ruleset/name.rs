//! Identifiers and comments within nft's limits.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// The kernel's limit for the name of a chain, set, map or counter, in bytes.
const LONGEST_IDENT: usize = 255;

/// The kernel's limit for a comment, in bytes.
const LONGEST_COMMENT: usize = 127;

/// The name of a chain, set, map or counter: `[a-z0-9/._-]`, beginning with a letter, at most 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(Arc<str>);

impl Ident {
    /// Joins parts with `/`. Kubernetes names hold no `/`, so distinct parts make distinct identifiers. What would be
    /// too long is cut before its last part and a digest of the whole put there behind a `_`, which no Kubernetes name
    /// holds either.
    pub fn from_parts(parts: &[&str]) -> Self {
        let whole = parts.join("/");
        if whole.len() <= LONGEST_IDENT {
            return Self(whole.into());
        }
        let digest = digest(whole.as_bytes());
        let last = parts.last().copied().unwrap_or_default();
        let keep = LONGEST_IDENT - digest.len() - last.len() - 2;
        Self(format!("{}_{digest}/{last}", &whole[..keep]).into())
    }

    /// `prefix-digest-suffix`: a name that follows from content. The digest is 128 bits of SHA-256, because whoever
    /// writes policies chooses the content and must not be able to aim at another policy's set.
    pub fn from_content(prefix: &str, content: &str, suffix: &str) -> Self {
        Self(format!("{prefix}-{}-{suffix}", digest(content.as_bytes())).into())
    }

    /// A name made in this crate, of characters that nft allows; never of what somebody wrote, unless parsed.
    pub fn fixed(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn digest(content: &[u8]) -> String {
    use fmt::Write;
    Sha256::digest(content)[..16]
        .iter()
        .fold(String::with_capacity(32), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl Borrow<str> for Ident {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text for people beside a rule or set: at most 127 bytes of printable ASCII without quotes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comment(Box<str>);

impl Comment {
    /// Keeps what nft can carry: other characters become `?`, a longer text ends in `...`.
    pub fn new(text: &str) -> Self {
        let mut plain: String = text
            .chars()
            .map(|c| {
                if c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ' {
                    c
                } else {
                    '?'
                }
            })
            .collect();
        if plain.len() > LONGEST_COMMENT {
            plain.truncate(LONGEST_COMMENT - 3);
            plain.push_str("...");
        }
        Self(plain.into())
    }

    /// The comment as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyphen_moved_between_namespace_and_name_makes_another_chain() {
        assert_ne!(
            Ident::from_parts(&["policy", "a", "b-c", "in"]),
            Ident::from_parts(&["policy", "a-b", "c", "in"])
        );
    }

    #[test]
    fn the_longest_names_fit_and_stay_distinct() {
        let (namespace, stem) = ("n".repeat(63), "p".repeat(252));
        let name = |last: &str, way: &[&str]| {
            Ident::from_parts(&[&["policy", &namespace, &format!("{stem}{last}")], way].concat())
        };
        let all = [
            name("a", &["in"]),
            name("b", &["in"]),
            name("a", &["in", "0", "ports"]),
            name("a", &["in", "1", "ports"]),
            name("a", &["out"]),
        ];
        for (i, ident) in all.iter().enumerate() {
            assert!(ident.as_str().len() <= LONGEST_IDENT, "{ident}");
            assert!(all[i + 1..].iter().all(|other| other != ident));
        }
        assert!(all[4].as_str().ends_with("/out"));
    }

    #[test]
    fn comments_cannot_end_early() {
        assert_eq!(Comment::new("a\" drop # \n\\").as_str(), "a? drop # ??");
        assert!(Comment::new(&"x".repeat(300)).as_str().ends_with("..."));
        assert_eq!(
            Comment::new(&"x".repeat(300)).as_str().len(),
            LONGEST_COMMENT
        );
    }
}
