//! Whether the node has links to the pods that are isolated. Who is reached by the node's own way out instead hangs on
//! something that the node's netfilter does not see: macvlan, ipvlan, a piece of hardware.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy_compiler::ruleset::TABLE;

use super::Finding;
use super::links::Link;
use crate::dataplane::netlink::numbers::{ELEMENTS, GET_ELEMENTS, IN_TABLE, NAME, NEW_ELEMENTS};
use crate::netlink::{Attributes, Channel, DUMP, Header, Message, NFTABLES, Writer, kind};

pub(super) const CHECK: &str = "reach";

/// `RTM_NEWROUTE`
const NEW_ROUTE: u16 = 24;
/// `RTM_GETROUTE`
const GET_ROUTE: u16 = 26;
/// Bytes of `struct rtmsg`, where in it is who made the route, and those of it that follow what any message begins with.
const ROUTE_HEADER: usize = 12;
const PROTOCOL: usize = 5;
const REST_OF_HEADER: [u8; 8] = [0; 8];
// `RTA_…`
const DESTINATION: u16 = 1;
const LINK: u16 = 4;

// `RTPROT_…`: the kernel made the route for an address, or was told of it by a router.
const OF_ADDRESS: u8 = 2;
const OF_ROUTER: u8 = 9;

// Of an element, and of its key.
const KEY: u16 = 1;
const VALUE: u16 = 1;

/// The maps from isolated pods' addresses to their chains.
const MAPS: [&str; 4] = ["ingress4", "egress4", "ingress6", "egress6"];

/// Addresses that stand for whatever is far away: of ranges for documentation, which nobody has a route of its own for.
const FAR: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// Pods that are told by address; of more there is only the number.
const SHOWN: usize = 3;

/// Where packets to an address leave the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) to: IpAddr,
    pub(crate) link: u32,
    /// Somebody of the node's own has laid it. Else it may be the word of anybody on the link that there is a router, or a
    /// network.
    pub(crate) is_laid: bool,
}

/// The ways to all isolated pods, and those to what is far away.
pub(super) fn read() -> io::Result<(Vec<Way>, Vec<Way>)> {
    Ok((ways(isolated()?)?, far()?))
}

/// The ways to what is far away: by the default routes.
pub(crate) fn far() -> io::Result<Vec<Way>> {
    ways(FAR)
}

fn ways(addresses: impl IntoIterator<Item = IpAddr>) -> io::Result<Vec<Way>> {
    let mut channel = Channel::open_route(DUMP)?;
    let found = addresses.into_iter();
    let found = found.map(|to| way(&mut channel, to));
    found.filter_map(io::Result::transpose).collect()
}

/// The addresses that the table has chains for. None where there is no table.
fn isolated() -> io::Result<BTreeSet<IpAddr>> {
    let mut channel = Channel::open(DUMP)?;
    let mut addresses = BTreeSet::new();
    for map in MAPS {
        let which = |w: &mut Writer| {
            w.text(IN_TABLE, TABLE);
            w.text(NAME, map);
        };
        let header = Header::nftables(GET_ELEMENTS);
        let told = kind(NFTABLES, NEW_ELEMENTS);
        let dumped = channel.dump(header, told, which, |attributes| {
            let lists = attributes.filter(|attribute| attribute.kind == ELEMENTS);
            let items = lists.flat_map(|list| Attributes(list.value));
            addresses.extend(items.filter_map(|item| address(item.value)));
        });
        match dumped {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(addresses)
}

fn address(element: &[u8]) -> Option<IpAddr> {
    let part = |bytes, kind| Attributes(bytes).find(|attribute| attribute.kind == kind);
    let key = part(part(element, KEY)?.value, VALUE)?.value;
    let v4 = || Some(<[u8; 4]>::try_from(key).ok()?.into());
    let v6 = || Some(<[u8; 16]>::try_from(key).ok()?.into());
    v4().or_else(v6)
}

/// The link by which the kernel would send to an address, if it has a way.
fn way(channel: &mut Channel, to: IpAddr) -> io::Result<Option<Way>> {
    let (family, octets) = match to {
        IpAddr::V4(to) => (nix::libc::AF_INET, to.octets().to_vec()),
        IpAddr::V6(to) => (nix::libc::AF_INET6, to.octets().to_vec()),
    };
    let header = Header {
        kind: GET_ROUTE,
        family: u8::try_from(family).unwrap_or_default(),
        ..Header::default()
    };
    let mut way = None;
    let request = |w: &mut Writer| {
        w.raw(&REST_OF_HEADER);
        w.put(DESTINATION, &octets);
    };
    channel.ask(header, request, |message: Message<'_>| {
        if message.kind == NEW_ROUTE {
            let mut attributes = message.attributes_behind(ROUTE_HEADER);
            let found = attributes.find(|attribute| attribute.kind == LINK);
            let link = found.and_then(|attribute| attribute.value.first_chunk().copied());
            let by = message.byte_at(PROTOCOL);
            way = link.map(|link| Way {
                to,
                link: u32::from_ne_bytes(link),
                is_laid: !matches!(by, Some(OF_ADDRESS | OF_ROUTER)),
            });
        }
    })?;
    Ok(way)
}

/// What the ways amount to.
pub(super) fn judge(links: &[Link], to_pods: &[Way], far: &[Way]) -> Option<Finding> {
    let is_out = |way: &Way| {
        let link = links.iter().find(|link| link.index == way.link)?;
        let is_shared = matches!(
            link.kind.as_str(),
            "macvlan" | "ipvlan" | "vlan" | "bond" | "team"
        );
        // A bridge may be both the node's way out and what pods hang on.
        let is_default = link.kind != "bridge" && far.iter().any(|far| far.link == way.link);
        let is_hardware = link.kind.is_empty() && link.name != "lo";
        (is_shared || is_default || is_hardware).then_some((way.to, link))
    };
    let unseen: Vec<(IpAddr, &Link)> = to_pods.iter().filter_map(is_out).collect();
    let (_, link) = unseen.first()?;
    let shown: Vec<String> = unseen
        .iter()
        .take(SHOWN)
        .map(|(to, _)| to.to_string())
        .collect();
    let more = match unseen.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(Finding::warning(
        CHECK,
        format!(
            "isolated pods are not seen by the hooks: the node has no link to {}{more}, and would look for them by {}",
            shown.join(", "),
            link.name
        ),
        "attach pods whose policies count by veth, not by macvlan, ipvlan or hardware; a pod that is just coming or going \
         is told, too: then ask again",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_behind_the_nodes_own_links_are_not_seen() {
        let link = |index, name: &str, kind: &str| Link {
            index,
            name: name.to_owned(),
            kind: kind.to_owned(),
            ..Link::default()
        };
        let links = [
            link(1, "lo", ""),
            link(2, "eth0", ""),
            link(3, "cni0", "bridge"),
            link(4, "veth4", "veth"),
            link(5, "bond0", "bond"),
        ];
        let pod = |link| Way {
            to: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
            link,
            is_laid: true,
        };
        let far = |link| Way {
            to: FAR[0],
            ..pod(link)
        };
        for (way, out, is_told) in [
            (pod(2), far(2), true),
            (pod(5), far(2), true),
            (pod(3), far(2), false),
            (pod(4), far(2), false),
            (pod(1), far(2), false),
            (pod(3), far(3), false),
            // Where nodes are network namespaces themselves.
            (pod(4), far(4), true),
            (pod(99), far(2), false),
        ] {
            let finding = judge(&links, &[way], &[out]);
            assert_eq!(finding.is_some(), is_told, "{way:?} {out:?}: {finding:?}");
        }
        assert_eq!(judge(&links, &[], &[far(2)]), None);
        let told = judge(&links, &[pod(2); 5], &[]).expect("a finding");
        assert!(told.found.contains("10.0.0.1 and 2 more"), "{told}");
    }
}
