//! The chains of one policy: its rules, shared by all pods it selects.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::address_ranges::AddressRanges;
use super::port_terms::{PortTerm, port_terms};
use super::{INGRESS, SetDefinition};
use crate::model::{Direction, IpBlock, ObjectKey, Peer, Peers, Policy, Rule as PolicyRule};
use crate::ruleset::{AddressMatch, Chain, Family, Ident, Match, Rule, Side, Verdict};

/// Up to so many networks, exceptions included, a rule's ipBlocks are matched one after the other. Each costs some
/// nanoseconds; an interval set costs 17 KiB, and slows everyone who runs the `nft` program on the node.
const MOST_INLINE_NETWORKS: usize = 16;

/// `policy/namespace/name/ingress`
pub(crate) fn policy_chain_name(policy: &ObjectKey, direction: Direction) -> Ident {
    Ident::from_parts(&[
        "policy",
        policy.namespace.as_str(),
        policy.name.as_str(),
        direction.as_str(),
    ])
}

/// The address families that the pods of a policy have. Rules for others would never be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    /// Adds the families of `addresses`.
    pub(crate) fn add(&mut self, addresses: &[IpAddr]) {
        self.v4 |= addresses.iter().any(IpAddr::is_ipv4);
        self.v6 |= addresses.iter().any(IpAddr::is_ipv6);
    }

    fn contains(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    fn iter(self) -> impl Iterator<Item = Family> {
        Family::BOTH
            .into_iter()
            .filter(move |family| self.contains(*family))
    }
}

/// A policy's chain in one direction.
#[derive(Debug)]
pub(crate) struct CompiledPolicy {
    /// The chain.
    pub(crate) chain: Chain,
    /// The sets its rules look things up in.
    pub(crate) sets: Vec<SetDefinition>,
}

/// Compiles one direction of a policy; `None` if it does not isolate in it.
pub(crate) fn compile_policy(
    policy: &Policy,
    direction: Direction,
    families: Families,
) -> Option<CompiledPolicy> {
    let rules = policy.rules(direction)?;
    let chain = Chain {
        hook: None,
        rules: Vec::new(),
    };
    let mut emitter = Emitter {
        direction,
        families,
        compiled: CompiledPolicy {
            chain,
            sets: Vec::new(),
        },
    };
    for (index, rule) in rules.iter().enumerate() {
        emitter.add_rule(rule, &format!("{direction}[{index}]"));
    }
    Some(emitter.compiled)
}

struct Emitter {
    direction: Direction,
    families: Families,
    compiled: CompiledPolicy,
}

/// One way to match a rule's peers: conditions, and the family they are bound to.
struct PeerTerm {
    family: Option<Family>,
    matches: Vec<Match>,
}

impl Emitter {
    /// A rule matches when one of its peers and one of its ports does (semantics rules B1, B4).
    fn add_rule(&mut self, rule: &PolicyRule, label: &str) {
        let ports = port_terms(&rule.ports);
        for peer in self.peer_terms(&rule.peers) {
            for port in &ports {
                match port {
                    PortTerm::Any => self.push(peer.matches.clone(), None, label),
                    PortTerm::Numbers(numbers) => {
                        self.push(peer.matches.clone(), Some(numbers.clone()), label);
                    }
                    PortTerm::Named(protocol, name) => {
                        let families: Vec<Family> = self.families.iter().collect();
                        for family in families
                            .into_iter()
                            .filter(|f| peer.family.is_none_or(|bound| bound == *f))
                        {
                            let set = self.use_set(SetDefinition::named_port(
                                self.direction,
                                *protocol,
                                name,
                                family,
                            ));
                            let pair = Match::NamedPort(family, *protocol, set);
                            self.push(peer.matches.clone(), Some(pair), label);
                        }
                    }
                }
            }
        }
    }

    fn push(&mut self, mut matches: Vec<Match>, port: Option<Match>, label: &str) {
        matches.extend(port);
        let verdict = match self.direction {
            Direction::Ingress => Verdict::Accept,
            // What may leave one pod must still be let in by the other (semantics rule A5).
            Direction::Egress => Verdict::Goto(Ident::fixed(INGRESS)),
        };
        self.compiled
            .chain
            .rules
            .push(Rule::new(matches, verdict).with_comment(label));
    }

    fn peer_terms(&mut self, peers: &Peers) -> Vec<PeerTerm> {
        let Peers::OneOf(peers) = peers else {
            return vec![PeerTerm {
                family: None,
                matches: Vec::new(),
            }];
        };
        let pods: BTreeSet<_> = peers
            .iter()
            .filter_map(|p| {
                if let Peer::Pods(pods) = p {
                    Some(pods)
                } else {
                    None
                }
            })
            .collect();
        let mut terms = Vec::new();
        for family in self.families.iter().collect::<Vec<_>>() {
            for peer in &pods {
                let set = self.use_set(SetDefinition::peers((*peer).clone(), family));
                terms.push(self.term(family, [AddressMatch::Set(family, set)]));
            }
            let blocks: BTreeSet<&IpBlock> = peers
                .iter()
                .filter_map(|p| {
                    if let Peer::IpBlock(block) = p {
                        Some(block)
                    } else {
                        None
                    }
                })
                .filter(|block| Family::of(block.cidr().addr()) == family)
                .collect();
            terms.extend(self.block_terms(&blocks, family));
        }
        terms
    }

    fn block_terms(&mut self, blocks: &BTreeSet<&IpBlock>, family: Family) -> Vec<PeerTerm> {
        let networks: usize = blocks.iter().map(|block| 1 + block.except().len()).sum();
        if networks > MOST_INLINE_NETWORKS {
            let set = self.use_set(SetDefinition::blocks(
                &AddressRanges::of_blocks(blocks.iter().copied()),
                family,
            ));
            return vec![self.term(family, [AddressMatch::Set(family, set)])];
        }
        let inline = |block: &&IpBlock| {
            let holes = block.except().iter().map(|hole| AddressMatch::NotIn(*hole));
            self.term(
                family,
                std::iter::once(AddressMatch::In(block.cidr())).chain(holes),
            )
        };
        blocks.iter().map(inline).collect()
    }

    fn term(&self, family: Family, matches: impl IntoIterator<Item = AddressMatch>) -> PeerTerm {
        let side = match self.direction {
            Direction::Ingress => Side::Source,
            Direction::Egress => Side::Destination,
        };
        PeerTerm {
            family: Some(family),
            matches: matches
                .into_iter()
                .map(|m| Match::Address(side, m))
                .collect(),
        }
    }

    fn use_set(&mut self, set: SetDefinition) -> Ident {
        let name = set.name().clone();
        if !self.compiled.sets.iter().any(|known| *known.name() == name) {
            self.compiled.sets.push(set);
        }
        name
    }
}
