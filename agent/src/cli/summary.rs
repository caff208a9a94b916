//! `netpol compile -o summary`: which pods are isolated, by whom, and how many may still talk to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use policy_compiler::model::{
    Direction, IpBlock, Name, NamespaceScope, NodeScope, ObjectKey, Peer, Peers, Pod, PodPeer,
    Policy, PortMatch, Ports, Snapshot,
};

use crate::manifests::Manifests;

const HEADER: [&str; 5] = ["POD", "NODE", "ADDRESSES", "INGRESS", "EGRESS"];

/// A table with a line for each pod, and what else is worth knowing.
pub(super) fn summary(
    manifests: &Manifests,
    scope: &NodeScope,
    only: Option<&ObjectKey>,
) -> String {
    let snapshot = &manifests.snapshot;
    let shown = snapshot
        .pods
        .values()
        .filter(|pod| scope.is_local(pod) && only.is_none_or(|only| *only == pod.key));
    let mut states = States::new(snapshot);
    let rows: Vec<[String; 5]> = shown
        .map(|pod| {
            let node = pod
                .node
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string);
            let addresses: Vec<String> = pod
                .addresses
                .iter()
                .map(|address| address.to_string())
                .collect();
            let addresses = if addresses.is_empty() {
                "-".to_owned()
            } else {
                addresses.join(",")
            };
            let [ingress, egress] = Direction::BOTH.map(|direction| states.of(pod, direction));
            [pod.key.to_string(), node, addresses, ingress, egress]
        })
        .collect();
    let mut text = table(&rows);
    for note in notes(manifests, only) {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

fn table(rows: &[[String; 5]]) -> String {
    if rows.is_empty() {
        return "no pods\n".to_owned();
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(|column| width(column).max(HEADER[column].len()));
    let line = |cells: [&str; 5]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let rows = rows
        .iter()
        .map(|row| line(row.each_ref().map(String::as_str)));
    std::iter::once(line(HEADER)).chain(rows).collect()
}

/// What each direction of a pod is like.
struct States<'a> {
    snapshot: &'a Snapshot,
    policies: BTreeMap<&'a Name, Vec<&'a Policy>>,
    /// Counting peers looks at every pod. Few sets of policies isolate all the pods of a large cluster.
    known: BTreeMap<(Direction, Vec<&'a ObjectKey>), String>,
}

impl<'a> States<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut policies: BTreeMap<&Name, Vec<&Policy>> = BTreeMap::new();
        for policy in snapshot.policies.values() {
            policies
                .entry(&policy.key.namespace)
                .or_default()
                .push(policy);
        }
        Self {
            snapshot,
            policies,
            known: BTreeMap::new(),
        }
    }

    /// `open`, or who isolates the pod and what that leaves.
    fn of(&mut self, pod: &Pod, direction: Direction) -> String {
        if pod.host_network {
            return "not subject (hostNetwork)".to_owned();
        }
        if pod.phase.is_final() {
            return "not subject (ended)".to_owned();
        }
        let isolating: Vec<&Policy> = self
            .policies
            .get(&pod.key.namespace)
            .into_iter()
            .flatten()
            .filter(|policy| {
                policy.subjects.matches(&pod.labels) && policy.rules(direction).is_some()
            })
            .copied()
            .collect();
        if isolating.is_empty() {
            return "open".to_owned();
        }
        let keys = isolating.iter().map(|policy| &policy.key).collect();
        self.known
            .entry((direction, keys))
            .or_insert_with(|| state(self.snapshot, &isolating, direction))
            .clone()
    }
}

/// What policies leave, and their names.
fn state(snapshot: &Snapshot, isolating: &[&Policy], direction: Direction) -> String {
    let names: Vec<&str> = isolating
        .iter()
        .map(|policy| policy.key.name.as_str())
        .collect();
    format!(
        "{} ({})",
        allowed(snapshot, isolating, direction),
        names.join(", ")
    )
}

/// Who the policies leave: `nobody`, `anyone`, `1 pod, 2 blocks, anyone on TCP 80`.
fn allowed(snapshot: &Snapshot, policies: &[&Policy], direction: Direction) -> String {
    let mut pods: BTreeSet<&ObjectKey> = BTreeSet::new();
    let mut blocks: BTreeSet<&IpBlock> = BTreeSet::new();
    let mut open_ports: BTreeSet<&PortMatch> = BTreeSet::new();
    for rule in policies
        .iter()
        .flat_map(|policy| policy.rules(direction).unwrap_or_default())
    {
        match (&rule.peers, &rule.ports) {
            (Peers::Any, Ports::Any) => return "anyone".to_owned(),
            (Peers::Any, Ports::OneOf(ports)) => open_ports.extend(ports),
            (Peers::OneOf(peers), _) => {
                for peer in peers {
                    match peer {
                        Peer::IpBlock(block) => drop(blocks.insert(block)),
                        Peer::Pods(peer) => {
                            let peers = snapshot
                                .pods
                                .values()
                                .filter(|pod| is_peer(snapshot, peer, pod));
                            pods.extend(peers.map(|pod| &pod.key));
                        }
                    }
                }
            }
        }
    }
    let count = |number: usize, noun: &str| match number {
        0 => None,
        1 => Some(format!("1 {noun}")),
        _ => Some(format!("{number} {noun}s")),
    };
    let ports: Vec<String> = open_ports.iter().map(ToString::to_string).collect();
    let anyone = (!ports.is_empty()).then(|| format!("anyone on {}", ports.join("/")));
    let counts = [count(pods.len(), "pod"), count(blocks.len(), "block")];
    let all: Vec<String> = counts.into_iter().chain([anyone]).flatten().collect();
    if all.is_empty() {
        "nobody".to_owned()
    } else {
        all.join(", ")
    }
}

fn is_peer(snapshot: &Snapshot, peer: &PodPeer, pod: &Pod) -> bool {
    let in_namespace = match &peer.namespaces {
        NamespaceScope::Named(name) => pod.key.namespace == *name,
        NamespaceScope::Matching(selector) => snapshot
            .namespaces
            .get(&pod.key.namespace)
            .is_some_and(|namespace| selector.matches(&namespace.labels)),
    };
    in_namespace && peer.pods.matches(&pod.labels) && !pod.host_network && !pod.phase.is_final()
}

fn notes(manifests: &Manifests, only: Option<&ObjectKey>) -> Vec<String> {
    if only.is_some() {
        return Vec::new();
    }
    let snapshot = &manifests.snapshot;
    let waiting = snapshot
        .pods
        .values()
        .filter(|pod| pod.addresses.is_empty() && !pod.phase.is_final());
    let waiting: Vec<String> = waiting.map(|pod| pod.key.to_string()).collect();
    let idle: Vec<String> = snapshot
        .policies
        .values()
        .filter(|policy| {
            !snapshot.pods.values().any(|pod| {
                pod.key.namespace == policy.key.namespace && policy.subjects.matches(&pod.labels)
            })
        })
        .map(|policy| policy.key.to_string())
        .collect();
    let implicit: Vec<String> = manifests
        .implicit_namespaces
        .iter()
        .map(ToString::to_string)
        .collect();
    let others: BTreeSet<&str> = manifests
        .others
        .iter()
        .filter_map(|object| object.get("kind").and_then(serde_json::Value::as_str))
        .collect();
    let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
    let rows = [
        (
            "No address yet, so nothing to program (status.podIPs is empty)",
            waiting,
        ),
        ("Policies that select no pod", idle),
        (
            "Namespaces without manifest, known by name and without labels of their own",
            implicit,
        ),
        ("Kinds that policy does not depend on, passed over", others),
    ];
    rows.into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}:\n  {}", names.join(", ")))
        .collect()
}
