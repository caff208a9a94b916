//! The node's own addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use crate::netlink::{Channel, DUMP};

/// All addresses of the network namespace of this thread.
pub fn own_addresses() -> io::Result<BTreeSet<IpAddr>> {
    let mut addresses = BTreeSet::new();
    let mut channel = Channel::open_route(DUMP)?;
    channel.addresses(0, None, |found| {
        addresses.insert(found.address);
    })?;
    Ok(addresses)
}
