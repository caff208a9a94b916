//! What is committed, and what follows when it was.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::super::counts::{counters, isolated_pods, size};
use super::super::work::{Outcome, Write};
use super::Enforcer;
use crate::revoke::concerned::Concerned;
use crate::telemetry::Counts;

impl Enforcer {
    /// When to commit next.
    pub(in super::super) fn due(&self) -> Option<Instant> {
        let change = self.schedule.due();
        if !self.has_written() {
            return change;
        }
        let repair = self.repairs.due();
        // What changes is committed first, when its time has come.
        let comparison = (self.must_compare && change.is_none()).then(Instant::now);
        change.into_iter().chain(repair).chain(comparison).min()
    }

    /// What is to be committed now, if anything.
    pub(in super::super) fn start(&mut self) -> Option<Write> {
        let now = Instant::now();
        let since = self.schedule.started(now).unwrap_or(now);
        // What a commit that failed was to bring is in the kernel only now.
        self.since.get_or_insert(since);
        self.replace |= self.repairs.start(now, self.replace);
        let counts = self.counts();
        self.telemetry.set_counts(counts);
        self.flow_log.committing();
        self.committing = self.taken;
        if self.replace {
            self.must_compare = false;
            let whole = self.compiler.take_whole();
            self.size = size(&whole, whole.counters().len());
            self.revocation.committing(Concerned::everybody);
            return Some(Write::Whole(Arc::new(whole)));
        }
        let change = self.compiler.take_transaction();
        if change.is_empty() {
            self.since = None;
            self.in_kernel = Some(self.committing);
            self.answer();
            // Pods without rules come and go too.
            self.revocation.committing(Concerned::default);
            // Only what is not to be changed is compared as it was before.
            self.is_comparing = std::mem::take(&mut self.must_compare);
            if self.is_comparing {
                return Some(Write::Compare(Arc::new(self.compiler.take_whole())));
            }
            self.flow_log.committed(false);
            self.revocation.committed();
            return None;
        }
        let after = self.compiler.ruleset();
        self.revocation.committing(|| Concerned::of(&change, after));
        let counters = counters(&change, self.size.counters);
        self.size = size(self.compiler.ruleset(), counters);
        Some(Write::Change(change))
    }

    pub(in super::super) fn finish(&mut self, Outcome { result, took, .. }: Outcome) {
        let was_compared = std::mem::take(&mut self.is_comparing);
        match result {
            Ok(written) if was_compared && written.part.is_none() => {
                self.flow_log.committed(false);
                self.revocation.committed();
                debug!(?took, "the table is as it should be");
            }
            Ok(written) => {
                if was_compared && let Some(part) = written.part {
                    let differences = written.differences.join("; ");
                    warn!(
                        differences,
                        "table inet netpol was not as it should be, and nobody told; it was put right"
                    );
                    self.telemetry.repaired(part);
                    // What began meanwhile was not judged, or by other rules.
                    self.revocation.committing(Concerned::everybody);
                }
                self.revocation.committed();
                self.schedule.succeeded();
                self.in_kernel = Some(self.committing);
                if let Some(since) = self.since.take() {
                    self.telemetry.programmed(since.elapsed());
                }
                // Whoever sees that the agent is ready expects that drops are told.
                self.flow_log.committed(written.is_new);
                self.telemetry.in_force(self.size);
                if let Some(part) = self.repairs.succeeded(Instant::now(), took) {
                    self.telemetry.repaired(part);
                }
                if std::mem::take(&mut self.replace) {
                    let isolated_pods = self.counts().isolated_pods;
                    let how = match (written.is_new, written.differences.len()) {
                        (true, _) => "the table was written whole",
                        (false, 0) => "the table was as it should be",
                        (false, _) => "the table was put right",
                    };
                    let differences = written.differences.join("; ");
                    if self.repairs.is_quarrel(Instant::now()) {
                        debug!(?took, how, differences, "the rules are in force again");
                    } else {
                        info!(
                            ?took,
                            isolated_pods, how, differences, "the rules are in force"
                        );
                    }
                } else {
                    debug!(?took, "the rules are up to date");
                }
                self.answer();
            }
            Err(error) => {
                // A change may fail because the table is not what it is thought to be: writing it whole mends that.
                let was_change = !std::mem::replace(&mut self.replace, true);
                let again_in = self.schedule.failed(Instant::now(), was_change);
                self.telemetry.not_written(&error.to_string());
                if was_change {
                    warn!(%error, "a change could not be written; has another program altered table inet netpol? Putting it right");
                } else {
                    error!(%error, ?again_in, "the rules could not be written; what is in the kernel stays as it is");
                }
            }
        }
    }

    fn counts(&mut self) -> Counts {
        let snapshot = self.compiler.snapshot();
        Counts {
            namespaces: snapshot.namespaces.len(),
            pods: snapshot.pods.len(),
            policies: snapshot.policies.len(),
            isolated_pods: isolated_pods(self.compiler.ruleset()),
        }
    }
}
