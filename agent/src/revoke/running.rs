//! When connections are looked at, and who is told.

use std::collections::BTreeSet;
use std::future::pending;
use std::net::IpAddr;
use std::time::Duration;

use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{NodeScope, Pod};
use tokio::time::Instant;
use tracing::{debug, error};

use super::causes::Causes;
use super::concerned::Concerned;
use super::failures::{FIRST_RETRY, Failures};
use super::pace::Pace;
use super::pass::{Change, Pass};
use super::record::Record;
use super::rest::Rest;
use super::worker::{Tell, Told, Worker};
use crate::conntrack::ConntrackError;
use crate::enforce::reach;
use crate::flow_log::{Cut, FlowLog};
use crate::telemetry::Telemetry;

/// After a commit, a packet that the old rules let through is on its way for some time yet before its connection is in
/// the kernel's list; and what is committed next often belongs to the same change.
const SETTLE: Duration = Duration::from_millis(3);

/// Something to do.
#[derive(Debug)]
pub(super) enum Occurrence {
    /// The thread has told something; `None` if it has ended.
    Told(Option<Told>),
    /// What was found is to be judged further.
    Turn,
    /// It is time to look.
    Due,
}

#[derive(Debug)]
pub(super) struct Running {
    scope: NodeScope,
    worker: Worker,
    telemetry: Telemetry,
    /// What has happened since the last commit was started.
    causes: Causes,
    /// Addresses that pods of this node had and have no more, since then.
    left: BTreeSet<IpAddr>,
    /// What is being committed.
    committing: Change,
    /// What the kernel has and nobody has looked at yet, and when to.
    pending: Option<(Change, Instant)>,
    rest: Rest,
    pass: Option<Pass>,
    pace: Pace,
    cut: Record,
    failures: Failures,
    has_begun: bool,
    has_ended: bool,
}

impl Running {
    pub(super) fn new(scope: NodeScope, worker: Worker, telemetry: Telemetry) -> Self {
        Self {
            scope,
            worker,
            telemetry,
            causes: Causes::default(),
            left: BTreeSet::new(),
            committing: Change::default(),
            pending: None,
            rest: Rest::default(),
            pass: None,
            pace: Pace::default(),
            cut: Record::default(),
            failures: Failures::default(),
            has_begun: false,
            has_ended: false,
        }
    }

    pub(super) fn before(&mut self, event: &Event, compiler: &Compiler) {
        if !self.has_begun {
            return;
        }
        let snapshot = compiler.snapshot();
        self.causes.note(event, snapshot);
        let (old, new) = match event {
            Event::Pod(pod) => (snapshot.pod(&pod.key), Some(pod)),
            Event::PodDeleted(key) => (snapshot.pod(key), None),
            _ => return,
        };
        let addresses = |pod: Option<&Pod>| {
            pod.map_or_else(BTreeSet::new, |pod| {
                pod.network_addresses().iter().collect::<BTreeSet<_>>()
            })
        };
        let old = old.filter(|pod| self.scope.is_local(pod));
        self.left.extend(&addresses(old) - &addresses(new));
    }

    pub(super) fn committing(&mut self, mut concerned: Concerned) {
        concerned.gone.append(&mut self.left);
        let mut causes = std::mem::take(&mut self.causes);
        if !self.has_begun && concerned.everything {
            causes = Causes::occasion("the agent started");
        }
        self.has_begun = true;
        self.committing.merge(Change { concerned, causes });
    }

    pub(super) fn committed(&mut self) {
        let change = std::mem::take(&mut self.committing);
        if change.concerned.is_empty() {
            return;
        }
        let settled = Instant::now() + SETTLE;
        self.rest.settles(settled);
        match &mut self.pending {
            Some((pending, due)) => {
                pending.merge(change);
                // It does not wait for what failed.
                *due = (*due).min(settled);
            }
            None => self.pending = Some((change, settled)),
        }
    }

    pub(super) async fn next(&mut self) -> Occurrence {
        if self.has_ended {
            pending::<()>().await;
        }
        match (&self.pass, &self.pending) {
            (Some(pass), _) if pass.is_judging() => {
                reach(self.pace.next(Instant::now())).await;
                Occurrence::Turn
            }
            (Some(_), _) => Occurrence::Told(self.worker.told().await),
            (None, Some((_, due))) => {
                reach(self.rest.start(*due)).await;
                Occurrence::Due
            }
            (None, None) => pending().await,
        }
    }

    pub(super) fn take(
        &mut self,
        occurrence: Occurrence,
        compiler: &Compiler,
        flow_log: &mut FlowLog,
    ) {
        match occurrence {
            Occurrence::Due => self.begin(compiler),
            Occurrence::Turn => self.turn(compiler),
            Occurrence::Told(Some(told)) => self.take_told(told, compiler, flow_log),
            Occurrence::Told(None) => {
                self.has_ended = true;
                self.pass = None;
                self.telemetry.revocation_failed();
                error!(
                    "the thread that cuts connections broke down: those that policies forbid stay open until the agent is \
                     restarted"
                );
            }
        }
    }

    fn begin(&mut self, compiler: &Compiler) {
        self.rest.end();
        let Some((change, _)) = self.pending.take() else {
            return;
        };
        let Some(look) = change.look(&self.cut, compiler, &self.scope) else {
            return;
        };
        self.pass = Some(Pass::new(change, look.which.clone()));
        self.worker.tell(Tell::Look(look));
    }

    fn take_told(&mut self, told: Told, compiler: &Compiler, flow_log: &mut FlowLog) {
        let Some(pass) = &mut self.pass else { return };
        match told {
            Told::Own(own) => pass.set_own(own),
            Told::Found(connections) => pass.found(connections),
            Told::Did(came) => {
                for decision in pass.did(&came) {
                    flow_log.cut(
                        &Cut {
                            connection: decision.connection,
                            objection: decision.objection.unwrap_or_default(),
                            causes: &pass.change.causes,
                        },
                        compiler,
                    );
                }
            }
            Told::Ended(result) => self.ended(result, flow_log),
        }
    }

    fn turn(&mut self, compiler: &Compiler) {
        let Some(pass) = &mut self.pass else { return };
        let start = Instant::now();
        let end = self.pace.end(start);
        if let Some(orders) = pass.judge(end, compiler, &self.scope) {
            self.worker.tell(Tell::Do(orders));
        }
        self.pace.took(start, Instant::now());
    }

    fn ended(&mut self, result: Result<(), ConntrackError>, flow_log: &mut FlowLog) {
        let Some(pass) = self.pass.take() else { return };
        let now = Instant::now();
        let took = now - pass.began;
        self.rest.begin(took, now);
        flow_log.all_cut();
        let tally = match result {
            Ok(()) => {
                self.failures.end();
                let tally = pass.end(&mut self.cut);
                debug!(?tally, ?took, "connections were looked at");
                tally
            }
            Err(error) => self.again(pass, &error, now),
        };
        self.telemetry.revoked(tally, took);
    }

    fn again(&mut self, pass: Pass, error: &ConntrackError, now: Instant) -> super::Tally {
        let pause = self.failures.again(error, now);
        self.rest.until(now + FIRST_RETRY);
        self.telemetry.revocation_failed();
        let (mut change, tally) = pass.broken(&mut self.cut);
        let mut due = now + pause;
        if let Some((later, settled)) = self.pending.take() {
            change.merge(later);
            due = due.min(settled);
        }
        self.pending = Some((change, due));
        tally
    }
}
