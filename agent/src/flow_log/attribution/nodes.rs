//! Whose the nodes' addresses are: pods on the host network have them.

use std::collections::HashMap;
use std::net::IpAddr;

use policy_compiler::model::{Name, Pod};

/// The addresses of nodes that run a pod on the host network, as practically all do.
#[derive(Debug, Default)]
pub(super) struct NodeAddresses {
    /// The node, and how many of its pods tell of the address.
    nodes: HashMap<IpAddr, (Name, usize)>,
}

impl NodeAddresses {
    /// A pod changed from `old` to `new`.
    pub(super) fn note(&mut self, old: Option<&Pod>, new: Option<&Pod>) {
        for (node, address) in old.into_iter().flat_map(told_by) {
            if let Some((known, count)) = self.nodes.get_mut(&address)
                && known == node
            {
                *count -= 1;
                if *count == 0 {
                    self.nodes.remove(&address);
                }
            }
        }
        for (node, address) in new.into_iter().flat_map(told_by) {
            let entry = self.nodes.entry(address);
            let (known, count) = entry.or_insert_with(|| (node.clone(), 0));
            if known == node {
                *count += 1;
            }
        }
    }

    /// The node that has an address.
    pub(super) fn node(&self, address: IpAddr) -> Option<&Name> {
        self.nodes.get(&address).map(|(node, _)| node)
    }
}

fn told_by(pod: &Pod) -> impl Iterator<Item = (&Name, IpAddr)> {
    let node = pod
        .node
        .as_ref()
        .filter(|_| pod.host_network && !pod.phase.is_final());
    node.into_iter()
        .flat_map(|node| pod.addresses.iter().map(move |address| (node, address)))
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
}
