//! What a lab is built from: pods, services and addresses, in plain types.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use policy_compiler::model::Protocol;

/// A node of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its name.
    pub name: &'static str,
    /// Its addresses on the wire.
    pub v4: Ipv4Addr,
    /// Its addresses on the wire.
    pub v6: Ipv6Addr,
    /// The range its pods have their addresses from.
    pub pods_v4: Ipv4Net,
    /// The range its pods have their addresses from.
    pub pods_v6: Ipv6Net,
}

impl NodeSpec {
    const fn numbered(name: &'static str, number: u8) -> Self {
        let n = number as u16;
        Self {
            name,
            v4: Ipv4Addr::new(172, 30, 0, 10 + number),
            v6: Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, 0x10 + n),
            pods_v4: Ipv4Net::new_assert(Ipv4Addr::new(10, 244, number, 0), 24),
            pods_v6: Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x244, n, 0, 0, 0, 0), 64),
        }
    }

    /// The pod ranges, IPv4 first.
    pub fn pod_ranges(&self) -> [IpNet; 2] {
        [self.pods_v4.into(), self.pods_v6.into()]
    }

    /// The address pods use as their gateway where the node has one in their range.
    pub fn gateways(&self) -> [IpAddr; 2] {
        self.pod_addresses(1)
    }

    /// The addresses in its pod ranges that end in `host`, IPv4 first.
    pub fn pod_addresses(&self, host: u8) -> [IpAddr; 2] {
        let v4 = u32::from(self.pods_v4.network()) | u32::from(host);
        let v6 = u128::from(self.pods_v6.network()) | u128::from(host);
        [Ipv4Addr::from(v4).into(), Ipv6Addr::from(v6).into()]
    }
}

/// The two nodes of every lab.
pub const NODES: [NodeSpec; 2] = [
    NodeSpec::numbered("node-a", 1),
    NodeSpec::numbered("node-b", 2),
];

/// The outside host's own addresses.
pub const OUTSIDE: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(172, 30, 0, 100),
    Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, 0x100),
);

/// The addresses of Services.
pub const SERVICES: (Ipv4Net, Ipv6Net) = (
    Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 112),
);

/// What a lab holds besides its two nodes and the outside host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabSpec {
    /// Pods that get a network namespace.
    pub pods: Vec<PodSpec>,
    /// Services the nodes translate.
    pub services: Vec<ServiceSpec>,
    /// Further addresses of the outside host.
    pub outside: Vec<IpAddr>,
}

impl LabSpec {
    /// Leaves an address that several pods claim to the first of them: on a network only one can have it. Pods left
    /// without any address are left out.
    #[must_use]
    pub fn without_contested_addresses(mut self) -> Self {
        let mut taken = BTreeSet::new();
        for pod in &mut self.pods {
            pod.addresses.retain(|&address| taken.insert(address));
        }
        self.pods.retain(|pod| !pod.addresses.is_empty());
        self
    }
}

/// A pod with its own network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSpec {
    /// `namespace/name`
    pub key: String,
    /// The node it runs on.
    pub node: String,
    /// At most one address of each family, from the node's ranges.
    pub addresses: Vec<IpAddr>,
}

/// A Service as the nodes' address translation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// `namespace/name`
    pub key: String,
    /// At most one of each family.
    pub cluster_ips: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `protocol`
    pub protocol: Protocol,
    /// `port`
    pub port: u16,
    /// `nodePort`
    pub node_port: Option<u16>,
    /// Ready endpoints with their target ports. The first of each family gets all connections, so that a row of a
    /// fixture says one thing.
    pub backends: Vec<SocketAddr>,
}

impl ServicePort {
    /// Where connections of a family go; nowhere if no endpoint is ready.
    pub fn backend(&self, ipv4: bool) -> Option<SocketAddr> {
        self.backends.iter().copied().find(|b| b.is_ipv4() == ipv4)
    }
}

/// One network namespace of a lab.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A pod by `namespace/name`.
    Pod(String),
    /// A node by name: its own processes, and pods on the host network.
    Node(String),
    /// The host outside the cluster.
    Outside,
    /// A host attached to the wire later.
    Host(String),
}

impl Place {
    /// The pod `namespace/name`.
    pub fn pod(key: &str) -> Self {
        Self::Pod(key.to_owned())
    }

    /// The node `name`.
    pub fn node(name: &str) -> Self {
        Self::Node(name.to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(key) => f.pad(key),
            Self::Node(name) => f.pad(&format!("node:{name}")),
            Self::Outside => f.pad("outside"),
            Self::Host(name) => f.pad(&format!("host:{name}")),
        }
    }
}
