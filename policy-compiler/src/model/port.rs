//! Protocols, port ranges and port names.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;

/// The transport protocols NetworkPolicy knows (semantics rule D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, IP protocol 6; the default of a port item and of a container port.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
    /// SCTP, IP protocol 132.
    Sctp,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Reads the API's spelling: upper case only.
    pub fn from_api(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_api() == text)
    }

    /// The API's spelling, `TCP`.
    pub const fn as_api(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// nft's spelling, `tcp`.
    pub const fn as_nft(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_api())
    }
}

/// An inclusive range of port numbers, never empty, within 1..=65535 (semantics rules D3 to D5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: NonZeroU16,
    last: NonZeroU16,
}

impl PortRange {
    /// A range of ports, `None` if `first` is 0 or above `last`.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        let (first, last) = (NonZeroU16::new(first)?, NonZeroU16::new(last)?);
        (first <= last).then_some(Self { first, last })
    }

    /// One port, `None` if it is 0.
    pub fn single(port: u16) -> Option<Self> {
        Self::new(port, port)
    }

    /// The lowest port.
    pub fn first(self) -> u16 {
        self.first.get()
    }

    /// The highest port.
    pub fn last(self) -> u16 {
        self.last.get()
    }

    /// Whether the range holds `port`.
    pub fn contains(self, port: u16) -> bool {
        (self.first()..=self.last()).contains(&port)
    }
}

impl fmt::Display for PortRange {
    /// `80` or `8000-9000`, as nft writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The name of a container port: an IANA service name (semantics rule D12).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortName(Arc<str>);

/// Why a string is not a [`PortName`], in the API server's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortNameError {
    /// Longer than 15 bytes, or empty.
    #[error("must be 1 to 15 characters")]
    Length,
    /// A character outside `[a-z0-9-]`.
    #[error("must contain only lower case alphanumeric characters and '-'")]
    Character,
    /// No letter: a quoted number such as `"80"`.
    #[error("must contain at least one letter; a port number is written without quotes")]
    NoLetter,
    /// A hyphen at either end or two in a row.
    #[error("must not begin or end with '-' nor contain '--'")]
    Hyphen,
}

impl PortName {
    /// Parses a port name.
    pub fn parse(text: &str) -> Result<Self, PortNameError> {
        if text.is_empty() || text.len() > 15 {
            return Err(PortNameError::Length);
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(PortNameError::Character);
        }
        if !text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(PortNameError::NoLetter);
        }
        if text.starts_with('-') || text.ends_with('-') || text.contains("--") {
            return Err(PortNameError::Hyphen);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_follow_iana_syntax() {
        for good in ["http", "a", "1a", "web-8080", "abcdefghijklmno"] {
            assert!(PortName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "80",
            "HTTP",
            "a--b",
            "-a",
            "a-",
            "abcdefghijklmnop",
            "a_b",
        ] {
            assert!(PortName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_are_never_empty() {
        assert!(PortRange::new(0, 1).is_none());
        assert!(PortRange::new(2, 1).is_none());
        let range = PortRange::new(80, 90).expect("valid");
        assert!(
            range.contains(80) && range.contains(90) && !range.contains(79) && !range.contains(91)
        );
    }
}
