//! Sets and verdict maps.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Comment, Elements, Family, Ident};

/// A named set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What an element is.
    pub key: SetKey,
    /// Text for people.
    pub comment: Comment,
    /// The elements, all of the set's key and family.
    pub elements: Elements,
}

/// What the elements of a [`Set`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKey {
    /// `type ipv4_addr`: a hash set.
    Address(Family),
    /// `type ipv4_addr; flags interval`: a tree of disjoint ranges.
    Range(Family),
    /// `type ipv4_addr . inet_service`: a hash set of pairs.
    AddressPort(Family),
}

impl SetKey {
    /// The family of the addresses.
    pub fn family(self) -> Family {
        match self {
            Self::Address(family) | Self::Range(family) | Self::AddressPort(family) => family,
        }
    }
}

/// One element of a [`Set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// One address.
    Address(IpAddr),
    /// All addresses from the first to the last.
    Range(IpAddr, IpAddr),
    /// An address and a port.
    AddressPort(IpAddr, u16),
}

impl Element {
    /// The network a range is exactly, if it is one.
    pub fn as_network(&self) -> Option<IpNet> {
        let Self::Range(first, last) = self else {
            return None;
        };
        let (bits, free) = match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (32, 32 - (u32::from(*a) ^ u32::from(*b)).leading_zeros())
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (128, 128 - (u128::from(*a) ^ u128::from(*b)).leading_zeros())
            }
            _ => return None,
        };
        let network = IpNet::new(*first, u8::try_from(bits - free).ok()?).ok()?;
        (network.network() == *first && network.broadcast() == *last).then_some(network)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Range(first, last) if first == last => write!(f, "{first}"),
            Self::Range(first, last) => match self.as_network() {
                Some(network) => write!(f, "{network}"),
                None => write!(f, "{first}-{last}"),
            },
            Self::AddressPort(address, port) => write!(f, "{address} . {port}"),
        }
    }
}

/// A named map from an address to the chain that judges it: `10.0.0.1 : goto pod/shop/web-0/in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictMap {
    /// The family of the addresses.
    pub family: Family,
    /// Which chain each address goes to.
    pub elements: BTreeMap<IpAddr, Ident>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_print_as_networks_where_they_are() {
        let rows = [
            ("10.0.0.0", "10.0.255.255", "10.0.0.0/16"),
            ("10.0.0.1", "10.0.255.255", "10.0.0.1-10.0.255.255"),
            ("10.0.0.7", "10.0.0.7", "10.0.0.7"),
            ("0.0.0.0", "255.255.255.255", "0.0.0.0/0"),
            ("fd00::", "fd00::ff", "fd00::/120"),
            ("10.0.0.0", "10.0.2.255", "10.0.0.0-10.0.2.255"),
        ];
        for (first, last, text) in rows {
            let range = Element::Range(first.parse().expect("ip"), last.parse().expect("ip"));
            assert_eq!(range.to_string(), text);
        }
    }
}
