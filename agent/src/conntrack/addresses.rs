//! The node's own addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use crate::netlink::Channel;

/// Bytes of a datagram at most: so much the kernel dumps at once if there is room for it.
const DATAGRAM: usize = 32 << 10;

/// All addresses of the network namespace of this thread.
pub fn own_addresses() -> io::Result<BTreeSet<IpAddr>> {
    let mut addresses = BTreeSet::new();
    let mut channel = Channel::open_route(DATAGRAM)?;
    channel.addresses(0, None, |found| {
        addresses.insert(found.address);
    })?;
    Ok(addresses)
}
