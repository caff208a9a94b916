//! Random worlds with addresses that the lab can route.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use netpol_tests::lab::{LabSpec, NODES, PodSpec};
use policy_compiler::model::{
    IpBlock, Name, Peer, Peers, Pod, PodAddresses, Policy, Rule, Snapshot,
};

/// Networks of random policies and what they are in the lab: parts of the pod ranges that hold some pods and not others.
const NETWORKS: [(&str, &str); 8] = [
    ("10.0.0.0/16", "10.244.0.0/16"),
    ("10.0.0.0/30", "10.244.1.0/30"),
    ("10.0.0.2/32", "10.244.1.2/32"),
    ("10.0.1.0/24", "10.244.2.0/24"),
    ("10.0.0.64/26", "10.244.2.64/26"),
    ("fd00::/127", "fd00:10:244:1::2/127"),
    ("fd00::2/128", "fd00:10:244:1::2/128"),
    ("fd00::40/122", "fd00:10:244:2::/122"),
];

/// The same world with an address of its own for each live pod, on the node it runs on.
pub(crate) fn placed(world: &Snapshot) -> Snapshot {
    let mut placed = Snapshot {
        namespaces: world.namespaces.clone(),
        ..Snapshot::default()
    };
    let mut next_host = [2_u8; NODES.len()];
    let mut moved: BTreeMap<IpAddr, IpAddr> = BTreeMap::new();
    let is_live = |pod: &&Arc<Pod>| !pod.network_addresses().is_empty();
    for pod in world.pods.values().filter(is_live) {
        let node = NODES
            .iter()
            .position(|node| Some(node.name) == pod.node.as_ref().map(Name::as_str));
        let node = node.unwrap_or_else(|| panic!("{} is on no node of the lab", pod.key));
        let host = next_host[node];
        next_host[node] += 1;
        let mut addresses = Vec::new();
        for old in pod.network_addresses().iter() {
            let [v4, v6] = NODES[node].pod_addresses(host);
            let new = if old.is_ipv4() { v4 } else { v6 };
            moved.insert(old, new);
            addresses.push(new);
        }
        placed.add_pod(Pod {
            addresses: PodAddresses::new(addresses),
            ..Pod::clone(pod)
        });
    }
    // Pods that ended still show an address, which may be a live pod's by now.
    for pod in world.pods.values().filter(|pod| !is_live(pod)) {
        let addresses = pod
            .addresses
            .iter()
            .filter_map(|old| moved.get(&old).copied());
        placed.add_pod(Pod {
            addresses: PodAddresses::new(addresses),
            ..Pod::clone(pod)
        });
    }
    world
        .policies
        .values()
        .for_each(|policy| placed.add_policy(moved_policy(policy)));
    placed
}

/// The lab in which a placed world's pods live.
pub(crate) fn lab_of(world: &Snapshot) -> LabSpec {
    let pods = world
        .pods
        .values()
        .filter(|pod| !pod.network_addresses().is_empty())
        .map(|pod| PodSpec {
            key: pod.key.to_string(),
            node: pod
                .node
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            addresses: pod.network_addresses().iter().collect(),
        });
    LabSpec {
        pods: pods.collect(),
        ..LabSpec::default()
    }
}

fn moved_policy(policy: &Policy) -> Policy {
    let rules = |rules: &Option<Vec<Rule>>| {
        rules
            .as_ref()
            .map(|rules| rules.iter().map(moved_rule).collect())
    };
    Policy {
        ingress: rules(&policy.ingress),
        egress: rules(&policy.egress),
        ..policy.clone()
    }
}

fn moved_rule(rule: &Rule) -> Rule {
    let Peers::OneOf(peers) = &rule.peers else {
        return rule.clone();
    };
    let moved = peers.iter().map(|peer| match peer {
        Peer::IpBlock(block) => Peer::IpBlock(moved_block(block)),
        pods @ Peer::Pods(_) => pods.clone(),
    });
    Rule {
        peers: Peers::OneOf(moved.collect()),
        ports: rule.ports.clone(),
    }
}

fn moved_block(block: &IpBlock) -> IpBlock {
    let network = |old: IpNet| {
        let new = NETWORKS.iter().find(|(from, _)| *from == old.to_string());
        new.map_or(old, |(_, to)| {
            to.parse().unwrap_or_else(|error| panic!("{to}: {error}"))
        })
    };
    let except: Vec<IpNet> = block.except().iter().map(|hole| network(*hole)).collect();
    IpBlock::new(network(block.cidr()), &except).unwrap_or_else(|error| panic!("{block}: {error}"))
}
