//! Which connections are asked for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Connection;

/// Which connections are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of this network namespace.
    All,
    /// Those that were opened by one of these addresses or, after destination NAT, to one of them.
    Of(BTreeSet<IpAddr>),
}

impl Which {
    /// Whether it is one of those.
    pub fn includes(&self, connection: &Connection) -> bool {
        match self {
            Self::All => true,
            Self::Of(addresses) => {
                addresses.contains(&connection.source())
                    || addresses.contains(&connection.destination())
            }
        }
    }
}
