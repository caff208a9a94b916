//! One side of a flow: is its pod isolated, and if so, does a rule let the flow through?

use std::collections::BTreeSet;

use super::Transport;
use super::matching::{has_peer, match_peers, match_ports};
use super::near_miss::{NearMiss, RuleKey, distance};
use super::party::{End, Who};
use crate::model::{Direction, Name, ObjectKey, Peer, Policy, PortMatch, Snapshot};

/// What the policies of one end say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// This end is no pod: no policy can be about it (semantics rule A6).
    NotAPod,
    /// No policy isolates the pod in this direction (semantics rule A3).
    NotIsolated,
    /// The flow comes from the pod's own node (semantics rule G1).
    OwnNode,
    /// The pod talks to itself (semantics rules G6 and L2).
    Itself,
    /// A rule lets it through.
    Allowed {
        /// The first one that does, by policy name and place in the policy; there may be more.
        by: Grant,
    },
    /// The pod is isolated and no rule lets the flow through (semantics rule A4).
    Denied {
        /// The policies that isolate the pod, by name.
        isolating: Vec<ObjectKey>,
        /// Their rules of this direction and why each does not match, the nearest first; as many as were asked for.
        near_misses: Vec<NearMiss>,
        /// How many rules more there are.
        more: usize,
    },
    /// Several live pods claim the address and at least one of them is isolated (semantics rule F9): denied.
    Contested {
        /// The policies that isolate any of them, by name.
        isolating: Vec<ObjectKey>,
    },
}

impl Side {
    /// Whether this side does not object.
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Denied { .. } | Self::Contested { .. })
    }

    /// The policies that isolate the pod, if this side denies the flow; else nothing.
    pub fn denied_by(&self) -> &[ObjectKey] {
        match self {
            Self::Denied { isolating, .. } | Self::Contested { isolating } => isolating,
            Self::NotAPod
            | Self::NotIsolated
            | Self::OwnNode
            | Self::Itself
            | Self::Allowed { .. } => &[],
        }
    }
}

/// A rule that matches a flow, and with which of its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The rule.
    pub rule: RuleKey,
    /// The item of `from` or `to` that matches; `None` if the rule lists none (semantics rule B2).
    pub peer: Option<Peer>,
    /// The item of `ports` that matches; `None` if the rule lists none (semantics rule B3).
    pub port: Option<PortMatch>,
}

/// A flow whose ends are known.
pub(super) struct Connection<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) source: &'a End<'a>,
    pub(super) destination: &'a End<'a>,
    pub(super) transport: Transport,
    /// The most near misses that are explained.
    pub(super) near_misses: usize,
}

impl Connection<'_> {
    /// The order of the questions is the meaning: exemptions are asked before rules, and a contested address never
    /// reaches the rules at all.
    pub(super) fn judge_side(&self, direction: Direction) -> Side {
        let (subject, peer) = match direction {
            Direction::Egress => (self.source, self.destination),
            Direction::Ingress => (self.destination, self.source),
        };
        if subject.claimants().is_empty() {
            return Side::NotAPod;
        }
        let isolating = self.isolating_policies(subject, direction);
        if isolating.is_empty() {
            return Side::NotIsolated;
        }
        if self.is_to_itself() {
            return Side::Itself;
        }
        if direction == Direction::Ingress && self.is_from_own_node() {
            return Side::OwnNode;
        }
        if let Who::Contested(_) = &subject.who {
            return Side::Contested {
                isolating: keys(&isolating),
            };
        }
        self.judge_rules(&isolating, direction, peer)
    }

    /// The policies that isolate any of the subject's claimants (semantics rules A1 and A2), by name.
    fn isolating_policies(&self, subject: &End<'_>, direction: Direction) -> Vec<&Policy> {
        let selects = |policy: &Policy| {
            subject.claimants().iter().any(|pod| {
                pod.key.namespace == policy.key.namespace && policy.subjects.matches(&pod.labels)
            })
        };
        let namespaces: BTreeSet<&Name> = subject
            .claimants()
            .iter()
            .map(|pod| &pod.key.namespace)
            .collect();
        namespaces
            .into_iter()
            .flat_map(|namespace| self.snapshot.policies_in(namespace))
            .filter(|policy| policy.rules(direction).is_some() && selects(policy))
            .collect()
    }

    /// A pod's own address, or its loopback device (semantics rules G6 and L2).
    fn is_to_itself(&self) -> bool {
        self.source.address == self.destination.address || self.destination.address.is_loopback()
    }

    /// Generated on the node the destination runs on, whatever address it bears (semantics rules G1 to G3).
    fn is_from_own_node(&self) -> bool {
        let Who::Node(node) = self.source.who else {
            return false;
        };
        self.destination
            .claimants()
            .iter()
            .any(|pod| pod.node.as_ref() == Some(node))
    }

    /// The union over every rule of every applicable policy (semantics rules A4 and B1).
    fn judge_rules(&self, isolating: &[&Policy], direction: Direction, peer: &End<'_>) -> Side {
        let namespaces = &self.snapshot.namespaces;
        // A name is looked up in the destination, whichever side's rule it is (semantics rule D6).
        let match_ports = |rule| match_ports(rule, self.transport, self.destination);
        let mut missed = Vec::new();
        for policy in isolating {
            let rules = policy.rules(direction).unwrap_or_default();
            for (index, rule) in rules.iter().enumerate() {
                let has_peer = has_peer(&rule.peers, peer, namespaces);
                match (has_peer, match_ports(&rule.ports)) {
                    (true, Ok(port)) => {
                        let by = Grant {
                            rule: key(policy, direction, index),
                            peer: match_peers(&rule.peers, peer, namespaces)
                                .ok()
                                .flatten()
                                .cloned(),
                            port: port.cloned(),
                        };
                        return Side::Allowed { by };
                    }
                    (has_peer, port) => {
                        missed.push((distance(has_peer, port.is_ok()), policy, index, rule));
                    }
                }
            }
        }
        missed.sort_by_key(|(distance, ..)| *distance);
        let nearest = missed.iter().take(self.near_misses);
        let near_misses = nearest.map(|(_, policy, index, rule)| NearMiss {
            rule: key(policy, direction, *index),
            peers: match_peers(&rule.peers, peer, namespaces)
                .err()
                .unwrap_or_default(),
            ports: match_ports(&rule.ports).err().unwrap_or_default(),
        });
        Side::Denied {
            isolating: keys(isolating),
            near_misses: near_misses.collect(),
            more: missed.len().saturating_sub(self.near_misses),
        }
    }
}

fn key(policy: &Policy, direction: Direction, index: usize) -> RuleKey {
    RuleKey {
        policy: policy.key.clone(),
        direction,
        index,
    }
}

fn keys(policies: &[&Policy]) -> Vec<ObjectKey> {
    policies.iter().map(|policy| policy.key.clone()).collect()
}
