//! What is known, and how far the start has come.

mod commits;

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use policy_compiler::compile::Protection;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::NodeScope;
use policy_compiler::ruleset::InterfacePattern;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Enforcement;
use super::repairs::Repairs;
use super::schedule::Schedule;
use super::work::Glance;
use crate::dataplane::{Disturbance, Foreign, NetlinkError, Part};
use crate::flow_log::{FlowLog, Occurrence};
use crate::pod_start::{PodStart, Programmed, Revision};
use crate::port_guard::PortGuard;
use crate::revoke::{self, Revocation};
use crate::source::Update;
use crate::telemetry::{TableSize, Telemetry};
use crate::uplinks::Uplinks;

/// The state of the loop, apart from what it waits for.
pub(super) struct Enforcer {
    pub(super) scope: NodeScope,
    pub(super) compiler: Compiler,
    pub(super) protection: Protection,
    pub(super) uplinks: Uplinks,
    pub(super) schedule: Schedule,
    repairs: Repairs,
    telemetry: Telemetry,
    pub(super) progress: Progress,
    /// What is in the kernel is not known: it is from another run, or a change to it was refused, or it has gone.
    replace: bool,
    /// The table is to be compared without need, or is being so.
    must_compare: bool,
    is_comparing: bool,
    /// The first change of those that are being committed.
    since: Option<Instant>,
    /// What the table holds once what was last taken from the compiler is written.
    size: TableSize,
    pub(super) flow_log: FlowLog,
    pub(super) pod_start: PodStart,
    pub(super) port_guard: PortGuard,
    /// Pods whose rules are in the kernel, until they are bound to their ports too.
    pub(super) binding: FuturesUnordered<BoxFuture<'static, Programmed>>,
    /// What the compiler has taken in, what of it is being committed, and what the kernel has.
    pub(super) taken: Revision,
    committing: Revision,
    pub(super) in_kernel: Option<Revision>,
    pub(super) revocation: Revocation,
}

/// How far the start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The source has more to say.
    Listing,
    /// It has said everything, but it is not known yet where pods are that must stay closed.
    Settling,
    /// Everything is known, and that there are pods, but on other nodes only.
    NoPodHere,
    /// Rules may be written.
    Writing,
}

/// What is waited for where no pod runs on the node.
const POD_HERE: &str = "a pod of this node";

/// What is waited for while the Node object has not been seen.
const PLACES: &str = "the node's pod ranges";

impl Enforcer {
    pub(super) fn new(enforcement: Enforcement) -> Self {
        let Enforcement {
            scope,
            timing,
            inspection: _,
            protection,
            mut uplinks,
            telemetry,
            flow_log,
            pod_start,
            port_guard,
            revocation,
        } = enforcement;
        let protection = Protection {
            revocable: revocation.is_on(),
            uplinks: uplinks.now(),
            ..protection
        };
        let compiler = Compiler::new(scope.clone())
            .with_drop_log(flow_log.drop_log())
            .with_protection(protection.clone());
        let schedule = Schedule::new(timing);
        Self {
            scope,
            compiler,
            protection,
            uplinks,
            schedule,
            repairs: Repairs::default(),
            telemetry,
            progress: Progress::Listing,
            replace: true,
            must_compare: false,
            is_comparing: false,
            since: None,
            size: TableSize::default(),
            flow_log,
            pod_start,
            port_guard,
            binding: FuturesUnordered::new(),
            taken: 0,
            committing: 0,
            in_kernel: None,
            revocation,
        }
    }

    /// Takes the links by which the node reaches others.
    pub(super) fn set_uplinks(&mut self, uplinks: BTreeSet<InterfacePattern>) {
        self.protection.uplinks = uplinks;
        self.compiler.protect(self.protection.clone());
        self.applied();
    }

    /// Takes what the flow log has to do.
    pub(super) fn log(&mut self, occurrence: Occurrence) {
        self.flow_log.take(occurrence, &self.compiler);
    }

    /// Looks for connections that are allowed no longer, or goes on with it.
    pub(super) fn revoke(&mut self, occurrence: revoke::Occurrence) {
        self.revocation
            .take(occurrence, &self.compiler, &mut self.flow_log);
    }

    /// Ends the flow log.
    pub(super) async fn close(self) {
        self.flow_log.close(&self.compiler).await;
    }

    pub(super) fn take(&mut self, update: Update) {
        match update {
            Update::Change(event) => {
                let event = self.pod_start.api(event);
                self.apply(event);
            }
            Update::Synced if self.pod_start.is_settled() => self.all_is_known(),
            Update::Synced => {
                self.progress = Progress::Settling;
                self.telemetry.waiting_for(PLACES, None);
            }
        }
        self.applied();
    }

    /// Hands an event to the compiler.
    pub(super) fn apply(&mut self, event: Event) {
        let pod_here = matches!(&event, Event::Pod(pod) if self.scope.is_local(pod));
        self.flow_log.before(&event, &self.compiler);
        self.revocation.before(&event, &self.compiler);
        self.port_guard.take(&event, &self.scope);
        self.compiler.apply(event);
        if self.progress == Progress::NoPodHere
            && (pod_here || self.compiler.snapshot().pods.is_empty())
        {
            self.telemetry.has_arrived(POD_HERE);
            self.begin();
        }
    }

    /// Whatever there was to say at the start has been said.
    pub(super) fn all_is_known(&mut self) {
        self.telemetry.has_arrived(PLACES);
        self.tell_strangers();
        match self.other_node() {
            Some(other) => self.await_pod(&other),
            None => self.begin(),
        }
    }

    fn begin(&mut self) {
        self.progress = Progress::Writing;
        self.port_guard.complete();
        info!("everything is known; writing the rules");
    }

    /// A node that pods run on, if none runs on this one.
    fn other_node(&self) -> Option<String> {
        let pods = &self.compiler.snapshot().pods;
        if pods.values().any(|pod| self.scope.is_local(pod)) {
            return None;
        }
        let other = pods.values().find_map(|pod| pod.node.as_ref());
        other.map(ToString::to_string)
    }

    /// Without pods there is nothing to enforce, but perhaps the node's name is mistyped: then the rules of its pods, from
    /// an earlier run, must not be taken away.
    fn await_pod(&mut self, other: &str) {
        self.progress = Progress::NoPodHere;
        let NodeScope::Node(node) = &self.scope else {
            return;
        };
        warn!(%node, other, "no pod runs on this node; is that its name? Another one is given in `other`. Until a pod does, \
            the rules in the kernel stay as they are");
        let trouble = format!("none runs on {node}; is that its name? Another is {other}");
        self.telemetry.waiting_for(POD_HERE, Some(trouble));
    }

    /// Whether the table is in the kernel, as far as is known.
    pub(super) fn has_written(&self) -> bool {
        !self.replace
    }

    /// Takes what others have done to the kernel's rules, while a commit was under way or `idle`.
    pub(super) fn disturbed(&mut self, disturbance: Disturbance, idle: bool) {
        let now = Instant::now();
        let gone = match &disturbance {
            Disturbance::Foreign(foreign) if foreign.is_gone => Some(foreign),
            _ => None,
        };
        // What is not known to be there is written whole in any case…
        if idle && !self.has_written() {
            // …but without a table the node is open, and what kept it from being written may have gone with it.
            if let Some(foreign) = gone {
                self.repairs.note(foreign, now);
                if self.in_kernel.is_some() {
                    self.telemetry.table_lost();
                    self.schedule.changed(now);
                }
            }
            return;
        }
        if gone.is_some() {
            self.telemetry.table_lost();
        }
        self.repairs.disturbed(disturbance, now);
    }

    /// Whether the table must be asked for at once.
    pub(super) fn must_look(&self) -> bool {
        self.has_written() && self.repairs.must_look()
    }

    pub(super) fn looking(&mut self) {
        self.repairs.look();
    }

    pub(super) fn inspected(&mut self, found: Result<Glance, NetlinkError>) {
        match found {
            Ok(Glance::AsLeft) => self.repairs.seen(false, Instant::now()),
            Ok(Glance::Table) => {
                self.repairs.seen(true, Instant::now());
                // A repair compares, too.
                self.must_compare = self.repairs.due().is_none();
            }
            Ok(Glance::Nothing) => {
                self.repairs.seen(false, Instant::now());
                let foreign = Foreign::of(Part::Table, true);
                self.disturbed(Disturbance::Foreign(foreign), true);
            }
            Err(error) if std::mem::take(&mut self.is_comparing) => {
                self.flow_log.committed(false);
                self.revocation.committed();
                warn!(%error, "cannot tell whether table inet netpol is as it should be; it stays as it is");
            }
            Err(error) => {
                self.repairs.seen(true, Instant::now());
                warn!(%error, "cannot ask whether table inet netpol is in the kernel");
            }
        }
    }
}
