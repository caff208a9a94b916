//! What the table does beside judging by policies: pods that no rules are there for yet, sources that are not their
//! senders', connections that are allowed no more.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::base_chains::{LINK_LOCAL, link_groups};
use super::closed::{add_closed, not_programmed};
use super::drop_rules::{cut_rules, drop_rules};
use crate::model::Direction;
use crate::ruleset::{
    AddressMatch, Chain, DropLog, DropOf, DropPoint, Hook, Ident, InterfaceKind, InterfacePattern,
    Match, Rule, Ruleset, Side, Verdict,
};

/// What of it is on. By default nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Where this node's pods are, if what comes from or goes to there is to be dropped unless a pod has the address
    /// whose rules are in the table.
    pub closed: Option<PodPlaces>,
    /// Whether connections can be cut: those labelled with [`CUT_LABEL`](crate::ruleset::CUT_LABEL) are.
    pub revocable: bool,
    /// Whether packets are dropped that bear a source whose answers would not go back where they came from.
    pub source_guard: bool,
    /// Interfaces of the kinds that pods hang on, by which the node reaches others all the same: of these the source guard
    /// asks nothing.
    pub uplinks: BTreeSet<InterfacePattern>,
}

/// Where this node's pods are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodPlaces {
    /// The networks that their addresses are of.
    pub networks: BTreeSet<IpNet>,
    /// The interfaces that lead to them. Packets that IPVS has taken in for a service have left their interface behind:
    /// of those only addresses tell that they are a pod's.
    pub interfaces: BTreeSet<InterfacePattern>,
}

/// Where the packets of one of the table's counters were dropped; `None` for those that bear a pod's name or an
/// address.
pub fn drop_of_counter(name: &str) -> Option<DropPoint> {
    let egress = |of| {
        let direction = Direction::Egress;
        Some(DropPoint { direction, of })
    };
    match name {
        LINK_LOCAL => egress(DropOf::LinkLocal),
        CUT => egress(DropOf::Cut),
        FORGED_SOURCE => egress(DropOf::ForgedSource),
        _ => {
            let mut directions = Direction::BOTH.into_iter();
            let direction = directions.find(|d| not_programmed(*d).as_str() == name)?;
            let of = DropOf::NotProgrammed;
            Some(DropPoint { direction, of })
        }
    }
}

/// The chain that ends what was cut, and the counter of its packets.
pub(super) const CUT: &str = "cut";
const CUT_FROM_NODE: &str = "cut-from-node";
const CONNECTION_LABELS: &str = "connection-labels";
const SOURCE_GUARD: &str = "source-guard";
const FORGED_SOURCE: &str = "forged-source";

impl Protection {
    /// Adds what is there whether a pod is isolated or not.
    pub(crate) fn add_to(&self, ruleset: &mut Ruleset, log: Option<&DropLog>) {
        let mut add = |name, hook, rules| {
            ruleset
                .chains
                .insert(Ident::fixed(name), Chain { hook, rules });
        };
        if self.revocable {
            let set = Rule::new(vec![], Verdict::SetCutLabel)
                .with_comment("never entered: while it is here, new connections can be labelled");
            add(CONNECTION_LABELS, None, vec![set]);
        }
        if self.source_guard {
            add(SOURCE_GUARD, Some(Hook::Arrival), self.source_guard());
            add(FORGED_SOURCE, None, forged_source(log));
        }
        if self.closed.is_some() {
            add_closed(ruleset, log);
        }
    }

    /// Before connections are looked up, lest somebody slip packets into another's. Only what comes out of pods is asked
    /// for its way back: other interfaces pay for two comparisons.
    fn source_guard(&self) -> Vec<Rule> {
        let uplink = |name: &InterfacePattern| {
            let by = Match::Interface(Side::Source, name.clone());
            Rule::new(vec![by], Verdict::Accept)
        };
        let guard = |kind| {
            let matches = vec![Match::InterfaceKind(kind), Match::NoWayBack];
            Rule::new(matches, Verdict::Goto(Ident::fixed(FORGED_SOURCE)))
        };
        let guards = InterfaceKind::BOTH.map(guard);
        self.uplinks.iter().map(uplink).chain(guards).collect()
    }

    /// Adds the chains that base chains go to for connections that were cut.
    pub(super) fn add_cut(&self, ruleset: &mut Ruleset, log: Option<&DropLog>) {
        if !self.revocable {
            return;
        }
        let point = DropPoint {
            direction: Direction::Egress,
            of: DropOf::Cut,
        };
        let cut = cut_rules(&Ident::fixed(CUT), point, log).collect();
        // What the node itself sends is never judged. And a reset that says that a connection was cut belongs to that
        // connection: it bears the label as well.
        let accept = |matches| Rule::new(matches, Verdict::Accept);
        let from_node = vec![
            accept(vec![Match::SourceIsLocal]),
            accept(vec![Match::Reset]),
            Rule::new(vec![], Verdict::Goto(Ident::fixed(CUT))),
        ];
        for (name, rules) in [(CUT, cut), (CUT_FROM_NODE, from_node)] {
            let chain = Chain { hook: None, rules };
            ruleset.chains.insert(Ident::fixed(name), chain);
        }
    }

    /// Where packets of cut connections leave a base chain; it comes before the connection's being known lets them pass.
    pub(super) fn cut(&self, from_node: bool) -> Option<Rule> {
        let chain = if from_node { CUT_FROM_NODE } else { CUT };
        let goto = Verdict::Goto(Ident::fixed(chain));
        self.revocable.then(|| Rule::new(vec![Match::Cut], goto))
    }
}

/// Who looks for neighbours or tells groups on the link of itself may not have an address with a way back: it has
/// none at all at first, or one of the link alone.
fn forged_source(log: Option<&DropLog>) -> Vec<Rule> {
    let point = DropPoint {
        direction: Direction::Egress,
        of: DropOf::ForgedSource,
    };
    let groups = AddressMatch::In(link_groups());
    let accept = |condition| Rule::new(vec![condition], Verdict::Accept);
    let mut rules = vec![
        accept(Match::NeighbourDiscovery),
        accept(Match::Address(Side::Destination, groups)),
    ];
    let comment = "an answer would not go back where this came from";
    rules.extend(drop_rules(
        &Ident::fixed(FORGED_SOURCE),
        point,
        log,
        comment,
    ));
    rules
}
