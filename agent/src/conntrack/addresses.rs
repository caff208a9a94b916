//! The node's own addresses, as rtnetlink tells them.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use crate::netlink::{Attributes, Channel, Dumped, Header, Message};

/// `RTM_NEWADDR`
const NEW_ADDRESS: u16 = 20;
/// `RTM_GETADDR`
const GET_ADDRESS: u16 = 22;

/// Bytes of `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;

// `IFA_…`
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;

/// Bytes of a datagram at most: so much the kernel dumps at once if there is room for it.
const DATAGRAM: usize = 32 << 10;
/// Addresses come and go while they are told.
const ATTEMPTS: u32 = 3;

/// All addresses of the network namespace of this thread.
pub fn own_addresses() -> io::Result<BTreeSet<IpAddr>> {
    let mut channel = Channel::open_route(DATAGRAM)?;
    let mut attempt = 1;
    let mut addresses = BTreeSet::new();
    loop {
        let header = Header {
            kind: GET_ADDRESS,
            ..Header::default()
        };
        let take = |message: Message<'_>| {
            addresses.extend(address(message.attributes_behind(ADDRESS_HEADER)));
        };
        let dumped = channel.dump_messages(header, NEW_ADDRESS, |_| {}, take)?;
        if dumped == Dumped::Whole || attempt == ATTEMPTS {
            return Ok(addresses);
        }
        attempt += 1;
    }
}

/// Between two ends the address is the other's, and the own stands beside it.
fn address(attributes: Attributes<'_>) -> Option<IpAddr> {
    let (mut own, mut any) = (None, None);
    for attribute in attributes {
        match attribute.kind {
            LOCAL => own = parse(attribute.value),
            ADDRESS => any = parse(attribute.value),
            _ => {}
        }
    }
    own.or(any)
}

fn parse(value: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(value).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(value).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::written;

    #[test]
    fn the_own_end_counts() {
        let bytes = written(|w| {
            w.put(ADDRESS, &[10, 0, 0, 2]);
            w.put(LOCAL, &[10, 0, 0, 1]);
        });
        let read = |bytes: Option<Vec<u8>>| address(Attributes(&bytes.expect("short")));
        assert_eq!(read(bytes), Some([10, 0, 0, 1].into()));
        let v6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(read(written(|w| w.put(ADDRESS, &v6))), Some(v6.into()));
        assert_eq!(read(written(|w| w.put(ADDRESS, &[1, 2, 3]))), None);
    }
}
