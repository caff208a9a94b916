//! A flow's way through the rulesets of all nodes.

use std::collections::BTreeSet;

use policy_compiler::compile::compile;
use policy_compiler::model::{Name, NodeScope, Snapshot};
use policy_compiler::ruleset::Ruleset;
use policy_compiler::verdict::{Endpoint, Flow};

use crate::interpreter::{Outcome, Packet, Way, run};

/// Nodes with what was compiled for each.
#[derive(Debug)]
pub struct Cluster<'a> {
    snapshot: &'a Snapshot,
    rulesets: Vec<(Name, Ruleset)>,
}

impl<'a> Cluster<'a> {
    /// Compiles for each of `nodes`.
    pub fn new(snapshot: &'a Snapshot, nodes: impl IntoIterator<Item = Name>) -> Self {
        let compiled = |node: Name| {
            (
                node.clone(),
                compile(snapshot, &NodeScope::Node(node.clone())),
            )
        };
        Self {
            snapshot,
            rulesets: nodes.into_iter().map(compiled).collect(),
        }
    }

    /// Sends a flow through every node on its way, hook by hook; all of them have to accept it. `None` where the way is
    /// not known: a contested address on two nodes, to which a node's packet may go by either route.
    pub fn run(&self, flow: &Flow) -> Option<Outcome> {
        let (sources, destinations) = (self.homes(&flow.source), self.homes(&flow.destination));
        let is_node = |end: &Endpoint| matches!(end, Endpoint::Node { .. });
        let involves_node = is_node(&flow.source) || is_node(&flow.destination);
        if involves_node && (sources.len() > 1 || destinations.len() > 1) {
            return None;
        }
        let on_the_way = |node: &Name| sources.contains(node) || destinations.contains(node);
        let accepted = self
            .rulesets
            .iter()
            .filter(|(node, _)| on_the_way(node))
            .all(|(node, ruleset)| {
                let sent_here = is_node(&flow.source) && sources.contains(node);
                let meant_for_here = is_node(&flow.destination) && destinations.contains(node);
                let way = match (sent_here, meant_for_here) {
                    (true, _) => Way::Out,
                    (false, true) => Way::In,
                    (false, false) => Way::Through,
                };
                run(ruleset, way, &Packet::of(flow, sent_here)) == Outcome::Accepted
            });
        Some(if accepted {
            Outcome::Accepted
        } else {
            Outcome::Dropped
        })
    }

    /// The nodes an end may be on; none for the outside.
    fn homes(&self, end: &Endpoint) -> BTreeSet<Name> {
        match end {
            Endpoint::Node { name, .. } => [name.clone()].into(),
            Endpoint::Address(address) => {
                let pods = self.snapshot.pods.values();
                pods.filter(|pod| pod.network_addresses().contains(*address))
                    .filter_map(|pod| pod.node.clone())
                    .collect()
            }
        }
    }
}
