//! Names of the node's interfaces.

use std::fmt;
use std::str::FromStr;

/// The name of an interface, or how it begins: `eth0`, `cali*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfacePattern {
    stem: Box<str>,
    is_prefix: bool,
}

/// The text is no pattern for the names of interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not like eth0 or cali*: 1 to 15 letters, digits and any of . _ - + @, of which a * at the end stands for any end"
)]
pub struct InterfacePatternError;

/// The kernel's limit for the name of an interface, in bytes.
const LONGEST: usize = 15;

impl InterfacePattern {
    /// What names are, or begin with.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// Whether names only begin so.
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether an interface of this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_prefix {
            name.starts_with(&*self.stem)
        } else {
            name == &*self.stem
        }
    }
}

impl FromStr for InterfacePattern {
    type Err = InterfacePatternError;

    /// What nft could take for something else than a name is refused: the text stands between quotes in scripts.
    fn from_str(text: &str) -> Result<Self, InterfacePatternError> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+@".contains(&byte);
        // `*` alone would be every interface, the node's uplink as well; nft refuses it, too.
        if stem.is_empty() || text.len() > LONGEST || !stem.bytes().all(is_plain) {
            return Err(InterfacePatternError);
        }
        Ok(Self {
            stem: stem.into(),
            is_prefix: stem.len() < text.len(),
        })
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stem)?;
        f.write_str(if self.is_prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_or_how_they_begin() {
        let pattern = |text: &str| text.parse::<InterfacePattern>();
        for text in [
            "eth0",
            "cali*",
            "a",
            "lxc_health",
            "veth0@if3",
            "x23456789012345",
        ] {
            assert_eq!(pattern(text).map(|p| p.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "*",
            "a*b",
            "a**",
            "a b",
            "a\"",
            "a/b",
            "ä",
            "x234567890123456",
        ] {
            assert_eq!(pattern(text), Err(InterfacePatternError), "{text}");
        }
        let matches = |text, name| pattern(text).is_ok_and(|p| p.matches(name));
        assert!(matches("cali*", "cali1234") && matches("cali*", "cali"));
        assert!(matches("eth0", "eth0") && !matches("eth0", "eth01") && !matches("cali*", "cal"));
    }
}
