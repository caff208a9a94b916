//! Which address families a policy is compiled for.

use std::net::IpAddr;

use crate::ruleset::Family;

/// The address families that the pods of a policy have. Rules for others would never be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    /// Adds the families of `addresses`.
    pub(crate) fn add(&mut self, addresses: &[IpAddr]) {
        self.v4 |= addresses.iter().any(IpAddr::is_ipv4);
        self.v6 |= addresses.iter().any(IpAddr::is_ipv6);
    }

    fn contains(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// The families, IPv4 first.
    pub(super) fn iter(self) -> impl Iterator<Item = Family> {
        Family::BOTH
            .into_iter()
            .filter(move |family| self.contains(*family))
    }
}
