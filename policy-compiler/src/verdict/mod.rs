//! Would this connection be allowed, by which rule, and if not, who forbids it and what came near?
//!
//! The verdict is a direct reading of the rules in `docs/semantics.md`, from the model and nothing else: it never
//! looks at the compiled ruleset. That makes it the oracle the ruleset is tested against, and the voice of
//! `netpol explain` and of the audit log.

mod explain;
mod flow;
mod matching;
mod near_miss;
mod party;
mod side;
#[cfg(test)]
mod tests;

pub use flow::{Endpoint, Flow, Transport};
pub use near_miss::{LabelMiss, NamedPortMiss, NearMiss, PeerMiss, PortMiss, RuleKey};
pub use party::Party;
pub use side::{Grant, Side};

use crate::model::{Direction, Pod, Snapshot};
use party::{AddressBook, End};

/// The answer for one flow: both sides, judged independently (semantics rule A5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was asked.
    pub flow: Flow,
    /// Who the source is.
    pub source: Party,
    /// Who the destination is.
    pub destination: Party,
    /// What the source's policies say.
    pub egress: Side,
    /// What the destination's policies say.
    pub ingress: Side,
}

impl Verdict {
    /// Whether the connection may be made: neither side objects.
    pub fn is_allowed(&self) -> bool {
        self.egress.is_allowed() && self.ingress.is_allowed()
    }

    /// What one side says.
    pub fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// Whose policies that side asks: the source's for egress, the destination's for ingress.
    pub fn subject(&self, direction: Direction) -> &Party {
        match direction {
            Direction::Ingress => &self.destination,
            Direction::Egress => &self.source,
        }
    }
}

/// Judges one flow. For many flows over one snapshot, keep a [`Judge`].
pub fn judge(snapshot: &Snapshot, flow: &Flow) -> Verdict {
    Judge::new(snapshot).judge(flow)
}

/// A snapshot with an index of who has which address, for judging many flows.
#[derive(Debug)]
pub struct Judge<'a> {
    snapshot: &'a Snapshot,
    addresses: AddressBook<'a>,
}

impl<'a> Judge<'a> {
    /// Reads the addresses of all pods once.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            addresses: AddressBook::new(snapshot),
        }
    }

    /// Judges one flow.
    pub fn judge(&self, flow: &Flow) -> Verdict {
        let owners = |end: &Endpoint| self.addresses.owners(end.address());
        judge_between(
            self.snapshot,
            flow,
            owners(&flow.source),
            owners(&flow.destination),
            usize::MAX,
        )
    }
}

/// Judges one flow between pods that the caller knows: those that have the source's address, and those that have the
/// destination's. None if it is no pod's, several if it is contested; for a process of a node they are not asked. Of each
/// side that denies the flow, at most so many near misses are explained.
pub fn judge_between(
    snapshot: &Snapshot,
    flow: &Flow,
    source: &[&Pod],
    destination: &[&Pod],
    near_misses: usize,
) -> Verdict {
    let source = End::new(&flow.source, source);
    let destination = End::new(&flow.destination, destination);
    let connection = side::Connection {
        snapshot,
        source: &source,
        destination: &destination,
        transport: flow.transport,
        near_misses,
    };
    Verdict {
        egress: connection.judge_side(Direction::Egress),
        ingress: connection.judge_side(Direction::Ingress),
        source: source.to_party(),
        destination: destination.to_party(),
        flow: flow.clone(),
    }
}
