//! Building a lab: the wire and what hangs on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::cluster::{Host, Lab};
use super::links::wait_for_links;
use super::receive::Sniffer;
use super::services;
use super::spec::{LabSpec, NODES, NodeSpec, OUTSIDE, Place, SERVICES};
use super::topology::{Topology, host_prefix};
use super::{LabError, Netns};

/// Settings of every namespace, made before it has interfaces: those inherit them.
pub(super) const EVERYWHERE: &[(&str, &str)] = &[
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    // Source ports of everything but probes, which are known by theirs.
    ("net/ipv4/ip_local_port_range", "61000 65535"),
    // Echo requests come from ping sockets, and there are many at once.
    ("net/ipv4/ping_group_range", "0 2147483647"),
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
];

const NODE: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    ("net/ipv4/conf/default/rp_filter", "2"),
    ("net/bridge/bridge-nf-call-iptables", "1"),
    ("net/bridge/bridge-nf-call-ip6tables", "1"),
];

/// The wire carries frames and judges nothing.
const WIRE: &[(&str, &str)] = &[
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-arptables", "0"),
];

impl Lab {
    /// Builds the network. No agent runs yet: everything reaches everything.
    pub fn build(topology: Topology, spec: LabSpec) -> Result<Self, LabError> {
        let wire = Netns::new("wire")?;
        wire.sysctl(WIRE)?;
        wire.ip("link set lo up\nlink add wire type bridge forward_delay 0 mcast_snooping 0\nlink set wire up\n")?;
        let mut lab = Self {
            topology,
            spec: LabSpec {
                pods: Vec::new(),
                ..spec
            },
            agents: BTreeMap::new(),
            hosts: BTreeMap::new(),
            wire,
            arrivals: Arc::default(),
            tokens: Arc::default(),
            listening: BTreeSet::new(),
            plugged: 0,
            directory: directory()?,
        };
        lab.add_outside()?;
        let script = services::script(topology, &lab.spec.services);
        for node in &NODES {
            lab.add_node(node, &script)?;
        }
        lab.add_pods(spec.pods)?;
        Ok(lab)
    }

    /// Plugs a further host into the wire, with no routes but the wire's own. For programs the test brings along.
    pub fn attach_host(
        &mut self,
        name: &str,
        v4: Ipv4Addr,
        v6: Ipv6Addr,
    ) -> Result<&Netns, LabError> {
        let netns = Netns::new(name)?;
        netns.sysctl(EVERYWHERE)?;
        self.plug_into_wire(&netns, v4, v6)?;
        wait_for_links([&netns, &self.wire])?;
        let host = Host {
            netns,
            addresses: vec![v4.into(), v6.into()],
            sniffers: Vec::new(),
        };
        let place = Place::Host(name.to_owned());
        self.hosts.insert(place.clone(), host);
        self.host(&place).map(Host::netns)
    }

    fn plug_into_wire(&self, netns: &Netns, v4: Ipv4Addr, v6: Ipv6Addr) -> Result<(), LabError> {
        let port = netns.name();
        self.wire.ip(&format!(
            "link add {port} type veth peer name eth0 netns {}\nlink set {port} master wire up\n",
            netns.path().display()
        ))?;
        netns.ip(&format!(
            "link set lo up\naddress add {v4}/24 dev eth0\naddress add {v6}/64 dev eth0 nodad\nlink set eth0 up\n"
        ))
    }

    fn add_outside(&mut self) -> Result<(), LabError> {
        let netns = Netns::new("outside")?;
        netns.sysctl(EVERYWHERE)?;
        let (v4, v6) = OUTSIDE;
        self.plug_into_wire(&netns, v4, v6)?;
        let mut addresses = vec![v4.into(), v6.into()];
        let mut lines = String::new();
        for &address in &self.spec.outside {
            if !addresses.contains(&address) {
                let nodad = if address.is_ipv6() { " nodad" } else { "" };
                let _ = writeln!(lines, "address add {} dev lo{nodad}", host_prefix(address));
                addresses.push(address);
            }
        }
        for node in &NODES {
            let [pods_v4, pods_v6] = node.pod_ranges();
            let _ = write!(
                lines,
                "route add {pods_v4} via {}\nroute add {pods_v6} via {}\n",
                node.v4, node.v6
            );
        }
        let [first, _] = &NODES;
        let (services_v4, services_v6) = SERVICES;
        let _ = write!(
            lines,
            "route add {services_v4} via {}\nroute add {services_v6} via {}\n",
            first.v4, first.v6
        );
        netns.ip(&lines)?;
        self.settle(Place::Outside, netns, addresses)
    }

    fn add_node(&mut self, node: &NodeSpec, services: &str) -> Result<(), LabError> {
        let netns = Netns::new(node.name)?;
        netns.sysctl(EVERYWHERE)?;
        netns.sysctl(NODE)?;
        self.plug_into_wire(&netns, node.v4, node.v6)?;
        let (outside_v4, outside_v6) = OUTSIDE;
        netns.ip(&format!(
            "route add default via {outside_v4}\nroute add default via {outside_v6}\n{}",
            self.topology.node_links(node)
        ))?;
        let entries = self.topology.forwarding_entries(node);
        if !entries.is_empty() {
            netns.run(&["bridge", "-batch", "-"], &entries)?;
        }
        netns.sysctl(self.topology.pod_link_defaults())?;
        netns.nft(services)?;
        let mut addresses = vec![node.v4.into(), node.v6.into()];
        addresses.extend(self.topology.extra_node_addresses(node));
        self.settle(Place::node(node.name), netns, addresses)
    }

    pub(super) fn settle(
        &mut self,
        place: Place,
        netns: Netns,
        addresses: Vec<IpAddr>,
    ) -> Result<(), LabError> {
        let (at, local, arrivals) = (place.clone(), addresses.clone(), self.arrivals.clone());
        let sniffers = netns
            .call(move || Sniffer::open_all(&at, &local, &arrivals))?
            .map_err(LabError::io(format!("raw sockets of {place}")))?;
        self.hosts.insert(
            place,
            Host {
                netns,
                addresses,
                sniffers,
            },
        );
        Ok(())
    }
}

/// A folder that is removed with the lab. Namespaces go with a process that is killed, its folder does not: those of
/// processes that are gone are removed here.
fn directory() -> Result<TempDir, LabError> {
    const PREFIX: &str = "netpol-lab-";
    let parent = std::env::temp_dir();
    for entry in std::fs::read_dir(&parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if owner
            .is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
        {
            // Somebody else may be doing the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir_in(parent)
        .map_err(LabError::io("folder for the lab's files"))
}
