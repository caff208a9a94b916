//! Where in the table a packet was dropped, in the few bytes that the kernel hands on with it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::model::{Direction, ObjectKey};

/// One of the table's drops. Its [`Display`](fmt::Display) is the prefix of the `log` statement before it, by which
/// whoever reads the log knows the pod and the direction without looking at addresses, which move from pod to pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropPoint {
    /// Whose policies were asked: the destination's for ingress, the source's for egress.
    pub direction: Direction,
    /// What the drop stands at the end of.
    pub of: DropOf,
}

/// What a drop stands at the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropOf {
    /// The chain of one pod.
    Pod(PodId),
    /// The chain of an address that several live pods claim (semantics rule F9). It is the packet's own: the
    /// destination for ingress, the source for egress.
    Contested,
    /// What no policy can judge (decision L13).
    LinkLocal,
    /// What comes from or goes to an address of the node's pods that no programmed pod has. The address is the packet's
    /// own: the destination for ingress, the source for egress.
    NotProgrammed,
    /// What bears a source that is not its sender's.
    ForgedSource,
    /// A packet of a connection that was cut.
    Cut,
}

impl DropOf {
    /// The drops that are no pod's, by their words.
    const WORDS: [(Self, &str); 5] = [
        (Self::Contested, "contested"),
        (Self::LinkLocal, "link-local"),
        (Self::NotProgrammed, "not-programmed"),
        (Self::ForgedSource, "forged-source"),
        (Self::Cut, "cut"),
    ];
}

/// One life of one pod: a digest of its namespace, its name and its uid. 128 bits, because whoever makes pods chooses
/// names and must not be able to aim at another pod's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId([u8; 16]);

impl PodId {
    /// The identity of the pod `key` with `metadata.uid` (empty in manifests).
    pub fn of(key: &ObjectKey, uid: &str) -> Self {
        let mut id = [0; 16];
        // Neither of the first two can hold a slash.
        let digest = Sha256::digest(format!("{key}/{uid}"));
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }
}

/// How all prefixes begin.
const PROGRAM: &str = "netpol";

/// The text is no prefix of netpol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not like netpol/ingress/…, with 32 hexadecimal digits, or contested, link-local, not-programmed, forged-source or \
     cut at the end"
)]
pub struct DropPointError;

impl fmt::Display for DropPoint {
    /// `netpol/ingress/0f3c…`, `netpol/egress/contested`, `netpol/egress/cut`, …
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PROGRAM}/{}/", self.direction)?;
        if let DropOf::Pod(PodId(id)) = self.of {
            return id.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        }
        let mut words = DropOf::WORDS.into_iter();
        let word = words.find_map(|(of, word)| (of == self.of).then_some(word));
        f.write_str(word.unwrap_or_default())
    }
}

impl FromStr for DropPoint {
    type Err = DropPointError;

    fn from_str(text: &str) -> Result<Self, DropPointError> {
        let mut parts = text.split('/');
        let (Some(PROGRAM), Some(direction), Some(of), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(DropPointError);
        };
        let direction = Direction::BOTH
            .into_iter()
            .find(|d| d.as_str() == direction)
            .ok_or(DropPointError)?;
        let mut words = DropOf::WORDS.into_iter();
        let word = words.find_map(|(what, word)| (of == word).then_some(what));
        let of = match word {
            Some(word) => word,
            None if of.len() == 32 && of.bytes().all(|b| b.is_ascii_hexdigit()) => {
                let id = u128::from_str_radix(of, 16).map_err(|_| DropPointError)?;
                DropOf::Pod(PodId(id.to_be_bytes()))
            }
            None => return Err(DropPointError),
        };
        Ok(Self { direction, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_back() {
        let key: ObjectKey = "shop/web".parse().expect("a key");
        let pod = |uid| DropOf::Pod(PodId::of(&key, uid));
        for direction in Direction::BOTH {
            let words = DropOf::WORDS.map(|(of, _)| of);
            for of in [pod(""), pod("1")].into_iter().chain(words) {
                let point = DropPoint { direction, of };
                let prefix = point.to_string();
                // The kernel keeps 127 bytes.
                assert!(prefix.len() < 64, "{prefix}");
                assert_eq!(prefix.parse(), Ok(point));
            }
        }
        assert_ne!(pod("1"), pod("2"));
        for other in [
            "",
            "netpol",
            "netpol/ingress/",
            "netpol/both/contested",
            "netpol/ingress/12",
            "x/ingress/contested",
        ] {
            assert_eq!(other.parse::<DropPoint>(), Err(DropPointError), "{other}");
        }
    }
}
