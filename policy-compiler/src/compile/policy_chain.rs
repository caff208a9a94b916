//! The chains of one policy: its rules, shared by all pods it selects.

use std::collections::{BTreeMap, BTreeSet};

use super::SetDefinition;
use super::address_ranges::AddressRanges;
use super::families::Families;
use super::port_terms::{PortTerm, port_terms};
use crate::model::{Direction, IpBlock, ObjectKey, Peer, Peers, Policy, Rule as PolicyRule};
use crate::ruleset::{AddressMatch, Chain, Family, Ident, Match, Rule, Side, Verdict};

/// Up to so many networks, exceptions included, a rule's ipBlocks are matched one after the other. Each costs some
/// nanoseconds; an interval set costs 17 KiB, and slows everyone who runs the `nft` program on the node.
const MOST_INLINE_NETWORKS: usize = 16;

/// Up to so many pairs of a peer and a port, each way to match a rule's peers is written out with each way to match its
/// ports. Beyond, they stand in chains of their own: whoever writes a policy chooses both numbers, and must not choose
/// their product.
const MOST_PAIRS: usize = 256;

/// `policy/namespace/name/ingress`
pub(crate) fn policy_chain_name(policy: &ObjectKey, direction: Direction) -> Ident {
    Ident::from_parts(&[
        "policy",
        policy.namespace.as_str(),
        policy.name.as_str(),
        direction.as_str(),
    ])
}

/// What a policy compiles to in one direction.
#[derive(Debug, Default)]
pub(crate) struct CompiledPolicy {
    /// The policy's chain, and those of its rules that have their own.
    pub(crate) chains: BTreeMap<Ident, Chain>,
    /// The sets that the chains' rules look things up in.
    pub(crate) sets: BTreeMap<Ident, SetDefinition>,
}

/// Compiles one direction of a policy; `None` if it does not isolate in it.
pub(crate) fn compile_policy(
    policy: &Policy,
    direction: Direction,
    families: Families,
) -> Option<CompiledPolicy> {
    let rules = policy.rules(direction)?;
    let mut emitter = Emitter {
        policy: &policy.key,
        direction,
        families,
        compiled: CompiledPolicy::default(),
    };
    let own: Vec<Rule> = rules
        .iter()
        .enumerate()
        .flat_map(|(index, rule)| emitter.rules_of(rule, index))
        .collect();
    emitter.add_chain(policy_chain_name(&policy.key, direction), own);
    Some(emitter.compiled)
}

struct Emitter<'a> {
    policy: &'a ObjectKey,
    direction: Direction,
    families: Families,
    compiled: CompiledPolicy,
}

/// One way to match a rule's peers: conditions, and the family they are bound to.
struct PeerTerm {
    family: Option<Family>,
    matches: Vec<Match>,
}

impl Emitter<'_> {
    /// A rule matches when one of its peers and one of its ports does (semantics rules B1, B4).
    fn rules_of(&mut self, rule: &PolicyRule, index: usize) -> Vec<Rule> {
        let label = format!("{}[{index}]", self.direction);
        let peers = self.peer_terms(&rule.peers);
        let ports = port_terms(&rule.ports);
        let ranges: usize = ports.iter().map(PortTerm::ranges).sum();
        if peers.len() > 1 && ranges > 1 && peers.len().saturating_mul(ranges) > MOST_PAIRS {
            return vec![
                self.in_own_chains(&peers, &ports, index)
                    .with_comment(&label),
            ];
        }
        let mut rules = Vec::new();
        for peer in &peers {
            for port in self.port_matches(&ports, peer.family) {
                let matches = peer.matches.iter().cloned().chain(port).collect();
                rules.push(Rule::new(matches, Verdict::Accept).with_comment(&label));
            }
        }
        rules
    }

    /// First one chain for the ports, then one for the peers. What is no peer's goes back to the policy's chain without
    /// trying another port, so that a packet meets each condition once at most.
    fn in_own_chains(&mut self, peers: &[PeerTerm], ports: &[PortTerm], index: usize) -> Rule {
        let name = |part| {
            let (namespace, name) = (&self.policy.namespace, &self.policy.name);
            let index = index.to_string();
            let direction = self.direction.as_str();
            Ident::from_parts(&[
                "policy",
                namespace.as_str(),
                name.as_str(),
                direction,
                &index,
                part,
            ])
        };
        let (ports_chain, peers_chain) = (name("ports"), name("peers"));
        let to_peers = self
            .port_matches(ports, None)
            .into_iter()
            .map(|port| {
                Rule::new(
                    port.into_iter().collect(),
                    Verdict::Goto(peers_chain.clone()),
                )
            })
            .collect();
        let allow = |peer: &PeerTerm| Rule::new(peer.matches.clone(), Verdict::Accept);
        let allowed = peers.iter().map(allow).collect();
        self.add_chain(ports_chain.clone(), to_peers);
        self.add_chain(peers_chain, allowed);
        Rule::new(vec![], Verdict::Jump(ports_chain))
    }

    fn add_chain(&mut self, name: Ident, rules: Vec<Rule>) {
        self.compiled
            .chains
            .insert(name, Chain { hook: None, rules });
    }

    /// The conditions that stand for `terms` beside peers of one family or of any; `None` is no condition.
    fn port_matches(&mut self, terms: &[PortTerm], family: Option<Family>) -> Vec<Option<Match>> {
        let mut matches = Vec::new();
        for term in terms {
            match term {
                PortTerm::Any => matches.push(None),
                PortTerm::Numbers(numbers) => matches.push(Some(numbers.clone())),
                PortTerm::Named(protocol, name) => {
                    let families: Vec<Family> = self.families.iter().collect();
                    for family in families
                        .into_iter()
                        .filter(|f| family.is_none_or(|bound| bound == *f))
                    {
                        let set =
                            SetDefinition::named_port(self.direction, *protocol, name, family);
                        let pair = Match::NamedPort(family, *protocol, self.use_set(set));
                        matches.push(Some(pair));
                    }
                }
            }
        }
        matches
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
        self.compiled.sets.entry(name.clone()).or_insert(set);
        name
    }
}
