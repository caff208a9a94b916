//! Pods.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Labels, Name, ObjectKey, PortName, Protocol, Workload};

/// What policy can see of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace` and `metadata.name`
    pub key: ObjectKey,
    /// `metadata.uid`; empty in manifests. Tells a replacement from the pod it replaced (semantics rule F8).
    pub uid: Box<str>,
    /// `metadata.labels`
    pub labels: Labels,
    /// `status.podIPs`, else `status.podIP`; none until the pod has its network (semantics rules F5, F6).
    pub addresses: PodAddresses,
    /// `spec.nodeName`; none until scheduled.
    pub node: Option<Name>,
    /// The named ports of containers and native sidecars (semantics rules D6, D10, D11).
    pub ports: Arc<[NamedPort]>,
    /// `status.phase`
    pub phase: Phase,
    /// `spec.hostNetwork`: the pod's addresses are the node's (semantics rule F1, decision L5).
    pub host_network: bool,
    /// What the pod belongs to, by `metadata.ownerReferences`.
    pub workload: Option<Workload>,
}

/// `status.phase`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not all containers run yet; init containers may (semantics rule F4).
    #[default]
    Pending,
    /// Containers run, or the pod is terminating (semantics rule F3).
    Running,
    /// Final: all containers ended well. The address may already be another pod's (semantics rule F2).
    Succeeded,
    /// Final: all containers ended, one badly (semantics rule F2).
    Failed,
    /// The node cannot be asked; the pod may well be running.
    Unknown,
}

impl Phase {
    /// Whether the pod's containers have ended for good.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// At most one address of each family.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PodAddresses {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl PodAddresses {
    /// Collects addresses; of each family the first one counts.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut all = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(v4) => all.v4 = all.v4.or(Some(v4)),
                IpAddr::V6(v6) => all.v6 = all.v6.or(Some(v6)),
            }
        }
        all
    }

    /// The addresses, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        self.v4
            .map(IpAddr::V4)
            .into_iter()
            .chain(self.v6.map(IpAddr::V6))
    }

    /// Whether there is no address.
    pub fn is_empty(self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// Whether `address` is one of these.
    pub fn contains(self, address: IpAddr) -> bool {
        self.iter().any(|a| a == address)
    }
}

impl fmt::Debug for PodAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A container port with a name. Unnamed ports play no part in policy (semantics rule D3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// `name`
    pub name: PortName,
    /// `protocol`, TCP if not given.
    pub protocol: Protocol,
    /// `containerPort`
    pub number: u16,
}

impl Pod {
    /// Holds what is the same in `other` together with it: pods of one workload differ in little but name and address.
    pub(crate) fn share(&mut self, other: &Self) {
        share(&mut self.key.namespace, &other.key.namespace);
        share(&mut self.key.name, &other.key.name);
        share(&mut self.labels, &other.labels);
        share(&mut self.node, &other.node);
        share(&mut self.ports, &other.ports);
        share(&mut self.workload, &other.workload);
    }

    /// The addresses by which the pod is known on the pod network: none if it has ended (semantics rule F2), and none
    /// if it uses the node's network, whose address must never be taken for the pod's (semantics rule F1).
    pub fn network_addresses(&self) -> PodAddresses {
        if self.host_network || self.phase.is_final() {
            PodAddresses::default()
        } else {
            self.addresses
        }
    }

    /// The numbers `name` stands for in this pod; several if containers disagree (semantics rule D10).
    pub fn resolve_port<'a>(
        &'a self,
        name: &'a PortName,
        protocol: Protocol,
    ) -> impl Iterator<Item = u16> + 'a {
        self.ports
            .iter()
            .filter(move |p| p.name == *name && p.protocol == protocol)
            .map(|p| p.number)
    }
}

fn share<T: Clone + PartialEq>(own: &mut T, other: &T) {
    if own == other {
        own.clone_from(other);
    }
}
