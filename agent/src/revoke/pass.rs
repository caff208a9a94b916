//! One look at the connections that a change concerns: which are cut, which go on.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use policy_compiler::index::Compiler;
use policy_compiler::model::{NodeScope, Pod};
use tokio::time::Instant;

use super::causes::Causes;
use super::concerned::Concerned;
use super::record::Record;
use super::worker::{Came, Look};
use crate::conntrack::judge::{Objection, objection};
use crate::conntrack::{Connection, Order, Which};

/// A change of the table that the kernel has.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) concerned: Concerned,
    pub(super) causes: Causes,
}

impl Change {
    pub(super) fn merge(&mut self, later: Self) {
        self.concerned.merge(later.concerned);
        self.causes.merge(later.causes);
    }

    /// Where to look for connections, if anywhere; `cut` are those that are cut now.
    pub(super) fn look(
        &self,
        cut: &Record,
        compiler: &Compiler,
        scope: &NodeScope,
    ) -> Option<Look> {
        let concerned = &self.concerned;
        if concerned.everything {
            let pods = compiler.snapshot().pods.values();
            let here = pods.filter(|pod| scope.is_local(pod));
            let mut ends: BTreeSet<IpAddr> = here
                .flat_map(|pod| pod.network_addresses().iter())
                .collect();
            ends.extend(&concerned.gone);
            return Some(Look {
                which: Which::All,
                ends: Some(ends),
            });
        }
        let mut ends = cut.among(&concerned.widened);
        ends.extend(&concerned.narrowed);
        ends.extend(&concerned.gone);
        (!ends.is_empty()).then_some(Look {
            which: Which::Of(ends),
            ends: None,
        })
    }
}

/// A connection for which something is done, and why.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) order: Order,
    pub(super) connection: Connection,
    /// If it is to be cut, what is against it.
    pub(super) objection: Option<Objection>,
}

/// What passes have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that were looked at.
    pub examined: u64,
    /// Those that were cut.
    pub cut: u64,
    /// Those that were cut before and are not any more.
    pub restored: u64,
    /// Those that were deleted, since the pod at one end has gone.
    pub forgotten: u64,
}

/// A look that is under way.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) change: Change,
    pub(super) began: Instant,
    pub(super) tally: Tally,
    which: Which,
    own: BTreeSet<IpAddr>,
    /// What is to be judged, until it is.
    found: Option<VecDeque<Connection>>,
    decisions: Vec<Decision>,
    cut: Record,
}

impl Pass {
    pub(super) fn new(change: Change, which: Which) -> Self {
        Self {
            change,
            began: Instant::now(),
            tally: Tally::default(),
            which,
            own: BTreeSet::new(),
            found: None,
            decisions: Vec::new(),
            cut: Record::default(),
        }
    }

    /// These addresses are the node's own.
    pub(super) fn set_own(&mut self, own: BTreeSet<IpAddr>) {
        self.own = own;
    }

    /// Takes connections to be judged. What was decided last, and nothing came of, does not stand.
    pub(super) fn found(&mut self, connections: Vec<Connection>) {
        self.tally.examined += connections.len() as u64;
        self.decisions.clear();
        self.found = Some(connections.into());
    }

    /// Judges until `end`. Returns what is to be done once all that were found are judged.
    pub(super) fn judge(
        &mut self,
        end: Instant,
        compiler: &Compiler,
        scope: &NodeScope,
    ) -> Option<Vec<(Order, Connection)>> {
        let mut found = self.found.take()?;
        while let Some(connection) = found.pop_front() {
            let (order, objection) = self.decide(&connection, compiler, scope);
            if let Some(order) = order {
                self.decisions.push(Decision {
                    order,
                    connection,
                    objection,
                });
            } else if objection.is_some() {
                self.is_cut(&connection);
            }
            if Instant::now() >= end && !found.is_empty() {
                self.found = Some(found);
                return None;
            }
        }
        let orders = self.decisions.iter();
        Some(orders.map(|d| (d.order, d.connection)).collect())
    }

    fn decide(
        &self,
        connection: &Connection,
        compiler: &Compiler,
        scope: &NodeScope,
    ) -> (Option<Order>, Option<Objection>) {
        let ends = [connection.source(), connection.destination()];
        let is_nobodys = |end: &IpAddr| {
            self.change.concerned.gone.contains(end)
                && !self.own.contains(end)
                && compiler.owners(*end).next().is_none()
        };
        // Whoever gets the address next must not inherit it.
        if ends.iter().any(is_nobodys) {
            return (Some(Order::Delete), None);
        }
        let claimants = |address| compiler.owners(address).collect::<Vec<&Pod>>();
        let objection = objection(compiler.snapshot(), claimants, scope, &self.own, connection);
        let order = match (&objection, connection.is_cut()) {
            (Some(_), false) if connection.is_offloaded() => Some(Order::Delete),
            (Some(_), false) => Some(Order::Cut),
            (None, true) => {
                let is_here = |end| compiler.owners(end).any(|pod| scope.is_local(pod));
                // Whose it was is gone: nobody has allowed it again.
                let is_pods = ends.into_iter().any(is_here);
                Some(if is_pods {
                    Order::Restore
                } else {
                    Order::Delete
                })
            }
            (Some(_), true) | (None, false) => None,
        };
        (order, objection)
    }

    fn is_cut(&mut self, connection: &Connection) {
        self.cut
            .add([connection.source(), connection.destination()]);
    }

    /// What came of the decisions. Returns those by which connections were cut.
    pub(super) fn did(&mut self, came: &[Came]) -> Vec<Decision> {
        let decisions = std::mem::take(&mut self.decisions);
        let mut cut = Vec::new();
        for (decision, came) in decisions.into_iter().zip(came) {
            match (decision.order, came) {
                (_, Came::Nothing) => {}
                (Order::Restore, _) => self.tally.restored += 1,
                (Order::Delete, _) if decision.objection.is_none() => self.tally.forgotten += 1,
                (order, came) => {
                    if order == Order::Cut && *came == Came::Done {
                        self.is_cut(&decision.connection);
                    }
                    // Who sends late packets must not go on by them, but nobody misses it.
                    if !decision.connection.is_over {
                        self.tally.cut += 1;
                        cut.push(decision);
                    }
                }
            }
        }
        cut
    }

    /// Whether something waits to be judged.
    pub(super) fn is_judging(&self) -> bool {
        self.found.is_some()
    }

    /// All has been looked at.
    pub(super) fn end(self, record: &mut Record) -> Tally {
        let at = match &self.which {
            Which::All => None,
            Which::Of(addresses) => Some(addresses),
        };
        record.looked(at, self.cut);
        self.tally
    }

    /// It was broken off: what it was about is to be looked at again.
    pub(super) fn broken(self, record: &mut Record) -> (Change, Tally) {
        record.looked(Some(&BTreeSet::new()), self.cut);
        (self.change, self.tally)
    }
}
