//! Whose addresses are, that are no pod's: nodes' own, and others in the ranges of their pods.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy_compiler::model::{Name, Pod};

/// What pods tell of nodes' addresses: those on the host network have the node's, the others have neighbours of those
/// that bridges and overlays have.
#[derive(Debug, Default)]
pub(super) struct NodeAddresses {
    own: Census<IpAddr>,
    /// By the first address of the /24 or /64 around a pod.
    ranges: Census<IpAddr>,
}

/// What lies at a place, and how many pods say so. Of two nodes that are said to be there, the first counts.
#[derive(Debug)]
struct Census<K>(HashMap<K, (Name, usize)>);

impl<K> Default for Census<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: std::hash::Hash + Eq> Census<K> {
    fn add(&mut self, place: K, node: &Name) {
        let (known, count) = self.0.entry(place).or_insert_with(|| (node.clone(), 0));
        if known == node {
            *count += 1;
        }
    }

    fn remove(&mut self, place: &K, node: &Name) {
        if let Some((known, count)) = self.0.get_mut(place)
            && known == node
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(place);
            }
        }
    }
}

impl NodeAddresses {
    /// A pod changed from `old` to `new`.
    pub(super) fn note(&mut self, old: Option<&Pod>, new: Option<&Pod>) {
        for (node, address) in old.into_iter().flat_map(on_host) {
            self.own.remove(&address, node);
        }
        for (node, address) in old.into_iter().flat_map(on_pod_network) {
            self.ranges.remove(&range(address), node);
        }
        for (node, address) in new.into_iter().flat_map(on_host) {
            self.own.add(address, node);
        }
        for (node, address) in new.into_iter().flat_map(on_pod_network) {
            self.ranges.add(range(address), node);
        }
    }

    /// The node that has an address.
    pub(super) fn node(&self, address: IpAddr) -> Option<&Name> {
        self.own.0.get(&address).map(|(node, _)| node)
    }

    /// The node whose pods have the addresses around this one.
    pub(super) fn node_around(&self, address: IpAddr) -> Option<&Name> {
        self.ranges.0.get(&range(address)).map(|(node, _)| node)
    }
}

fn on_host(pod: &Pod) -> impl Iterator<Item = (&Name, IpAddr)> {
    let node = pod
        .node
        .as_ref()
        .filter(|_| pod.host_network && !pod.phase.is_final());
    node.into_iter()
        .flat_map(|node| pod.addresses.iter().map(move |address| (node, address)))
}

fn on_pod_network(pod: &Pod) -> impl Iterator<Item = (&Name, IpAddr)> {
    let addresses = pod.network_addresses();
    let node = pod.node.as_ref().into_iter();
    node.flat_map(move |node| addresses.iter().map(move |address| (node, address)))
}

/// The usual size of a node's range of pod addresses.
fn range(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pod;
    use super::*;

    #[test]
    fn an_address_is_a_nodes_while_a_pod_says_so() {
        let address = IpAddr::from([172, 30, 0, 11]);
        let on_host = |name: &str| Pod {
            host_network: true,
            ..pod(name, "172.30.0.11")
        };
        let (proxy, agent) = (on_host("kube-system/proxy"), on_host("kube-system/agent"));
        let mut nodes = NodeAddresses::default();
        nodes.note(None, Some(&proxy));
        nodes.note(None, Some(&agent));
        nodes.note(Some(&proxy), None);
        assert_eq!(nodes.node(address).map(Name::as_str), Some("node-a"));
        nodes.note(
            Some(&agent),
            Some(&Pod {
                phase: policy_compiler::model::Phase::Failed,
                ..agent.clone()
            }),
        );
        assert_eq!(nodes.node(address), None);
        nodes.note(None, Some(&pod("shop/web", "172.30.0.11")));
        assert_eq!(nodes.node(address), None);
    }

    #[test]
    fn neighbours_of_pods_are_their_nodes() {
        let overlay = IpAddr::from([10, 244, 2, 0]);
        let web = pod("shop/web", "10.244.2.9");
        let mut nodes = NodeAddresses::default();
        nodes.note(None, Some(&web));
        assert_eq!(nodes.node_around(overlay).map(Name::as_str), Some("node-a"));
        assert_eq!(nodes.node_around(IpAddr::from([10, 244, 3, 0])), None);
        nodes.note(Some(&web), None);
        assert_eq!(nodes.node_around(overlay), None);
    }
}
