//! The ports of the node's bridges, and the addresses configured behind them, as rtnetlink tells them.
//!
//! A pod's link has one end in the node's network namespace and one in the pod's. The kernel tells the number of the other
//! end and of the namespace it is in, and answers for that namespace, too, to who has `CAP_NET_ADMIN` there: nobody has to
//! enter it.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use nix::libc;

use crate::doctor::links::{self, Link};
use crate::netlink::{Channel, DUMP};

/// Of one network namespace. Who may configure addresses in a pod may configure many.
const ADDRESSES: usize = 256;

/// A bridge's port that leads to another network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// The number of its link.
    pub(crate) index: u32,
    pub(crate) name: String,
    /// The number of the network namespace behind it.
    pub(crate) space: u32,
    /// The number of the link there.
    pub(crate) other: u32,
}

/// What is on the node's side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeSide {
    pub(crate) ports: Vec<Port>,
    /// Ports of bridges whose other end is a link of the node, too.
    pub(crate) passages: BTreeSet<u32>,
    /// The addresses of bridges that have such ports: mostly the pods' gateways.
    pub(crate) gateways: BTreeSet<IpAddr>,
}

/// An address, and the link that has it.
pub(crate) type Configured = (u32, IpAddr);

/// Looks from the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Lookout {
    channel: Channel,
}

impl Lookout {
    pub(crate) fn open() -> io::Result<Self> {
        let channel = Channel::open_route(DUMP)?;
        // An older kernel answers about this namespace only, which is noticed.
        let _ = channel.ask_strictly();
        Ok(Self { channel })
    }

    /// Ports and gateways.
    pub(crate) fn node_side(&mut self) -> io::Result<NodeSide> {
        let links = links::read()?;
        let (mut side, bridges) = sort(&links);
        if !bridges.is_empty() {
            let own = self.addresses(None)?;
            let of_bridges = own.into_iter().filter(|(link, _)| bridges.contains(link));
            side.gateways = of_bridges.map(|(_, address)| address).collect();
        }
        Ok(side)
    }

    /// The addresses in the network namespace of this number, those that were configured first first.
    pub(crate) fn behind(&mut self, space: u32) -> io::Result<Vec<Configured>> {
        self.addresses(Some(space))
    }

    fn addresses(&mut self, space: Option<u32>) -> io::Result<Vec<Configured>> {
        let mut found = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            found.extend(self.of_family(space, u8::try_from(family).unwrap_or_default())?);
        }
        Ok(found)
    }

    fn of_family(&mut self, space: Option<u32>, family: u8) -> io::Result<Vec<Configured>> {
        let (mut found, mut is_elsewhere) = (Vec::new(), false);
        self.channel.addresses(family, space, |address| {
            is_elsewhere |= address.space != space;
            let configured = (address.link, address.address);
            if found.len() < ADDRESSES && !found.contains(&configured) {
                found.push(configured);
            }
        })?;
        if is_elsewhere {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel tells nothing of other network namespaces (it does since Linux 4.20)",
            ));
        }
        Ok(found)
    }
}

/// Ports, passages, and the bridges that have ports.
fn sort(links: &[Link]) -> (NodeSide, BTreeSet<u32>) {
    let is_bridge = |index: u32| {
        let mut bridges = links.iter().filter(|link| link.kind == "bridge");
        bridges.any(|bridge| bridge.index == index)
    };
    let (mut side, mut bridges) = (NodeSide::default(), BTreeSet::new());
    for link in links.iter().filter(|link| link.kind == "veth") {
        let Some(bridge) = link.master.filter(|master| is_bridge(*master)) else {
            continue;
        };
        if !link.leads_elsewhere {
            side.passages.insert(link.index);
        } else if let (Some(space), Some(other)) = (link.netns, link.other) {
            bridges.insert(bridge);
            side.ports.push(Port {
                index: link.index,
                name: link.name.clone(),
                space,
                other,
            });
        }
    }
    (side, bridges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_lead_elsewhere_and_passages_do_not() {
        let link = |index, kind: &str, master, netns| Link {
            index,
            kind: kind.to_owned(),
            master,
            netns,
            leads_elsewhere: netns.is_some(),
            other: Some(index + 100),
            ..Link::default()
        };
        let links = [
            link(1, "bridge", None, None),
            link(2, "bridge", None, None),
            link(3, "veth", Some(1), Some(7)),
            // Routed.
            link(4, "veth", None, Some(8)),
            // From bridge to bridge.
            link(5, "veth", Some(1), None),
            link(6, "veth", Some(2), None),
            link(7, "", Some(1), None),
            // A bond's, or of a bridge that is not seen.
            link(8, "veth", Some(99), Some(9)),
        ];
        let (side, bridges) = sort(&links);
        let ports: Vec<_> = side
            .ports
            .iter()
            .map(|p| (p.index, p.space, p.other))
            .collect();
        assert_eq!(ports, [(3, 7, 103)]);
        assert_eq!(side.passages, BTreeSet::from([5, 6]));
        assert_eq!(bridges, BTreeSet::from([1]));
    }
}
