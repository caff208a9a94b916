//! What the agent tells about itself: metrics, whether it is ready, whether it is alive.

mod connections;
mod drops;
mod gauge;
mod health;
mod metrics;
mod node;
mod pod_start;
mod ports;
#[cfg(test)]
mod reference;
mod table;

use std::sync::Arc;
use std::time::Duration;

pub use drops::{Outcome, Queues};
use health::Health;
pub use health::NotReady;
use metrics::Metrics;
pub use pod_start::Standing;
pub use table::{Elements, TableSize};

use crate::dataplane::Part;
use crate::port_guard::Guarded;
use crate::revoke::Tally;
use policy_compiler::decode::Kind;
use policy_compiler::model::Direction;

/// A handle on metrics and health; clones share both.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    metrics: Metrics,
    health: Health,
}

/// How many objects there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Namespaces.
    pub namespaces: usize,
    /// Pods of all nodes.
    pub pods: usize,
    /// NetworkPolicies.
    pub policies: usize,
    /// Pods of this node that a policy isolates.
    pub isolated_pods: usize,
}

impl Telemetry {
    /// The source cannot list a kind, or has just begun to; `trouble` says what is in the way.
    pub fn waiting_for(&self, what: &str, trouble: Option<String>) {
        self.shared.health.waiting_for(what, trouble);
    }

    /// A kind has been listed.
    pub fn has_arrived(&self, what: &str) {
        self.shared.health.has_arrived(what);
    }

    /// A request to the API server failed, or a manifest file was refused.
    pub fn source_failed(&self, what: &str) {
        self.shared.metrics.source_failed(what);
    }

    /// How many objects of a kind are invalid.
    pub fn set_invalid(&self, kind: Kind, count: usize) {
        self.shared.metrics.set_invalid(kind, count);
    }

    /// How many objects of a kind are invalid.
    pub fn invalid(&self, kind: Kind) -> usize {
        self.shared.metrics.invalid(kind)
    }

    /// The kernel took a transaction that moved these elements.
    pub fn committed(&self, took: Duration, elements: Elements) {
        self.shared.metrics.committed(took);
        self.shared.metrics.table.moved(elements);
    }

    /// The kernel refused a transaction, or it is not known what it did.
    pub fn commit_failed(&self, took: Duration) {
        self.shared.metrics.commit_failed(took);
    }

    /// Bytes of transactions that the kernel has been given so far.
    pub fn set_sent(&self, bytes: u64) {
        self.shared.metrics.table.set_sent(bytes);
    }

    /// The rules are in the kernel, in a table of this size.
    pub fn in_force(&self, size: TableSize) {
        self.shared.metrics.in_force();
        self.shared.metrics.table.set_size(size);
        self.shared.health.committed();
    }

    /// How long it took from the first of some changes until the kernel had them.
    pub fn programmed(&self, took: Duration) {
        self.shared.metrics.programmed(took);
    }

    /// The rules could not be written.
    pub fn not_written(&self, problem: &str) {
        self.shared.health.commit_failed(problem);
    }

    /// The table is not in the kernel any more.
    pub fn table_lost(&self) {
        self.shared.metrics.table.set_size(TableSize::default());
        self.shared.health.table_lost();
    }

    /// What another program had changed of the table is as it should be again.
    pub fn repaired(&self, part: Part) {
        self.shared.metrics.repaired(part);
    }

    /// How many manifest files have errors.
    pub fn set_faulty_manifests(&self, count: usize) {
        self.shared.metrics.set_faulty_manifests(count);
    }

    /// The node was looked at. Where policies cannot be enforced, `trouble` says why.
    pub fn examined(&self, warnings: usize, errors: usize, trouble: Option<String>) {
        self.shared.metrics.node.set(warnings, errors);
        self.shared.health.examined(trouble);
    }

    /// What the agent knows of.
    pub fn set_counts(&self, counts: Counts) {
        self.shared.metrics.set_counts(counts);
    }

    /// The table dropped packets of a workload (`Deployment/web`); without a namespace, of pods that are not known.
    pub fn dropped(&self, namespace: &str, workload: &str, direction: Direction, count: u64) {
        let drops = &self.shared.metrics.drops;
        drops.dropped(namespace, workload, direction, count);
    }

    /// What the flow log made of dropped packets.
    pub fn accounted(&self, outcome: Outcome, packets: u64) {
        self.shared.metrics.drops.outcome(outcome, packets);
    }

    /// Lines of the flow log so far, and how many programs read its socket.
    pub fn set_lines(&self, written: u64, lost: u64, readers: usize) {
        self.shared.metrics.drops.set_lines(written, lost, readers);
    }

    /// What of the flow log waits to be worked off.
    pub fn set_queues(&self, queues: Queues) {
        self.shared.metrics.drops.set_queues(queues);
    }

    /// A packet was dropped that no policy forbids.
    pub fn mismatch(&self) {
        self.shared.metrics.drops.mismatch();
    }

    /// Connections were looked at, and this came of it.
    pub fn revoked(&self, tally: Tally, took: Duration) {
        self.shared.metrics.connections.looked(tally, took);
    }

    /// They could not be looked at, or not all of them.
    pub fn revocation_failed(&self) {
        self.shared.metrics.connections.failed();
    }

    /// Whether dropped packets are received from the kernel.
    pub fn set_flow_log_up(&self, is_up: bool) {
        self.shared.metrics.drops.set_up(is_up);
    }

    /// How far pods are bound to ports of bridges.
    pub fn guarded(&self, guarded: Guarded) {
        self.shared.metrics.ports.set(guarded);
    }

    /// Packets that were dropped at ports of bridges since this was told last, by kind.
    pub fn forged(&self, packets: [(&'static str, u64); 3]) {
        self.shared.metrics.ports.dropped(packets);
    }

    /// How pods start from now on.
    pub fn set_pod_start(&self, standing: Standing) {
        self.shared.metrics.pod_starts.set(&standing);
        self.shared.health.set_pod_start(standing);
    }

    /// The rules of a pod came into the kernel so long after its network was there.
    pub fn pod_programmed(&self, took: Duration) {
        self.shared.metrics.pod_starts.programmed(took);
    }

    /// A pod that the container runtime waited with has started, with its rules in the kernel or not.
    pub fn pod_started(&self, in_time: bool) {
        self.shared.metrics.pod_starts.started(in_time);
    }

    /// The event loop goes round.
    pub fn beat(&self) {
        self.shared.health.beat();
    }

    /// Whether the event loop went round within the last half minute.
    pub fn is_alive(&self) -> bool {
        self.shared.health.is_alive()
    }

    /// `Ok` if the rules in the kernel are those that the objects ask for, and packets meet them.
    pub fn readiness(&self) -> Result<(), NotReady> {
        self.shared.health.readiness()
    }

    /// What people should know although the agent is ready.
    pub fn remark(&self) -> Option<String> {
        self.shared.health.remark()
    }

    /// The metrics in the `OpenMetrics` text format.
    pub fn render(&self) -> String {
        self.shared.metrics.render()
    }
}
