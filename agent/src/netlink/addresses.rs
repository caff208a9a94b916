//! The addresses of links, as rtnetlink tells them.

use std::io;
use std::net::IpAddr;

use super::{Attributes, Channel, Dumped, Header, Message};

/// `RTM_NEWADDR`
const NEW_ADDRESS: u16 = 20;
/// `RTM_GETADDR`
const GET_ADDRESSES: u16 = 22;

/// Bytes of `struct ifaddrmsg`, and where in it the prefix' length, flags, the scope and the link's number are.
const HEADER: usize = 8;
const LENGTH: usize = 1;
const FLAGS: usize = 2;
const SCOPE: usize = 3;
const INDEX: usize = 4;

// `IFA_…`
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const TARGET: u16 = 10;

/// `IFA_F_PERMANENT`
const PERMANENT: u8 = 0x80;

/// Addresses come and go while they are told.
const ATTEMPTS: u32 = 3;

/// An address that a link has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkAddress {
    /// The number of the link.
    pub(crate) link: u32,
    pub(crate) address: IpAddr,
    /// Others may have addresses beside it in its network, which is not one of the link alone. What IPv6 has for a time only
    /// may be the word of anybody on the link that such a network is there, and is none.
    pub(crate) is_shared: bool,
    /// The number of the network namespace it is in, unless that is this one.
    pub(crate) space: Option<u32>,
}

impl Channel {
    /// Reads all addresses of a family, or of all where that is 0, in the network namespace of the given number or in this one. Some
    /// may be told twice.
    pub(crate) fn addresses(
        &mut self,
        family: u8,
        space: Option<u32>,
        mut take: impl FnMut(LinkAddress),
    ) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let header = Header {
                kind: GET_ADDRESSES,
                family,
                ..Header::default()
            };
            let of_space = |w: &mut super::Writer| {
                w.raw(&[0; HEADER - INDEX]);
                if let Some(space) = space {
                    w.put(TARGET, &space.to_ne_bytes());
                }
            };
            let dumped = self.dump_messages(header, NEW_ADDRESS, of_space, |message| {
                if let Some(address) = read(&message) {
                    take(address);
                }
            })?;
            if dumped == Dumped::Whole {
                break;
            }
        }
        Ok(())
    }
}

fn read(message: &Message<'_>) -> Option<LinkAddress> {
    let link = message.number_at(INDEX)?;
    let [length, flags, scope] = [LENGTH, FLAGS, SCOPE].map(|place| message.byte_at(place));
    let (length, flags, scope) = (length?, flags?, scope?);
    let (address, space) = named(message.attributes_behind(HEADER));
    let address = address?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    Some(LinkAddress {
        link,
        address,
        is_shared: scope == 0 && length < bits && (address.is_ipv4() || flags & PERMANENT != 0),
        space,
    })
}

/// The address, and the network namespace it is in.
fn named(attributes: Attributes<'_>) -> (Option<IpAddr>, Option<u32>) {
    let (mut own, mut any, mut space) = (None, None, None);
    for attribute in attributes {
        match attribute.kind {
            // Of a link that has only two ends, the other's.
            ADDRESS => any = parse(attribute.value),
            LOCAL => own = parse(attribute.value),
            TARGET => {
                let number = attribute.value.first_chunk().copied();
                space = number.map(u32::from_ne_bytes);
            }
            _ => {}
        }
    }
    (own.or(any), space)
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
            w.put(TARGET, &7_u32.to_ne_bytes());
        });
        let read = |bytes: Option<Vec<u8>>| named(Attributes(&bytes.expect("short")));
        assert_eq!(read(bytes), (Some([10, 0, 0, 1].into()), Some(7)));
        let v6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let bytes = written(|w| w.put(ADDRESS, &v6));
        assert_eq!(read(bytes), (Some(v6.into()), None));
        assert_eq!(read(written(|w| w.put(ADDRESS, &[1, 2, 3]))), (None, None));
    }
}
