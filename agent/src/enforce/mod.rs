//! The heart of the agent: what a source says becomes what the kernel enforces.
//!
//! ```text
//! source ──→ Compiler ──→ (wait until it is quiet) ──→ Transaction ──→ dataplane
//!                ▲                                                        │
//!                └── after a failure: the whole table, again and again   ◄
//! ```
//!
//! Nothing is written before the source has said all there is, so that a restart never opens what was closed. Whatever
//! fails, the kernel keeps the rules it has.

mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::stream::{Stream, StreamExt};
use policy_compiler::index::Compiler;
use policy_compiler::model::NodeScope;
use policy_compiler::ruleset::{Ruleset, Transaction};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, error, info, warn};

use crate::dataplane::{Dataplane, DataplaneError};
use crate::source::Update;
use crate::telemetry::{Counts, Telemetry};
use schedule::Schedule;
pub use schedule::Timing;

/// The source ended, which none does of itself.
#[derive(Debug, thiserror::Error)]
#[error("the source of objects broke down; the rules stay as they are")]
pub struct SourceEnded;

/// How often the loop shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Enforces what `source` says until `shutdown` completes. The rules stay in the kernel then.
pub async fn enforce<D: Dataplane + 'static>(
    source: impl Stream<Item = Update>,
    dataplane: D,
    scope: NodeScope,
    timing: Timing,
    telemetry: Telemetry,
    shutdown: impl Future<Output = ()>,
) -> Result<(), SourceEnded> {
    let mut source = pin!(source);
    let mut shutdown = pin!(shutdown);
    let mut enforcer = Enforcer::new(scope, timing, telemetry);
    let mut state = State::Idle(dataplane);
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = if matches!(state, State::Idle(_)) {
            enforcer.due()
        } else {
            None
        };
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            _ = heartbeat.tick() => enforcer.telemetry.beat(),
            (dataplane, outcome) = state.committed() => {
                enforcer.finish(outcome);
                state = State::Idle(dataplane);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                state = enforcer.start(state);
            }
            update = source.next() => match update {
                Some(update) => enforcer.take(update),
                None => return Err(SourceEnded),
            },
        }
    }
}

/// What became of a transaction, and how long it took.
struct Outcome {
    result: Result<(), DataplaneError>,
    took: Duration,
}

/// The dataplane is at hand, or busy with a transaction; updates are taken in all the while.
enum State<D> {
    Idle(D),
    Committing(Pin<Box<dyn Future<Output = (D, Outcome)>>>),
}

impl<D> State<D> {
    /// Completes when a transaction under way does.
    async fn committed(&mut self) -> (D, Outcome) {
        match self {
            Self::Idle(_) => std::future::pending().await,
            Self::Committing(work) => work.await,
        }
    }
}

struct Enforcer {
    scope: NodeScope,
    compiler: Compiler,
    schedule: Schedule,
    telemetry: Telemetry,
    synced: bool,
    /// What is in the kernel is not known: it is from another run, or a change to it was refused.
    replace: bool,
}

impl Enforcer {
    fn new(scope: NodeScope, timing: Timing, telemetry: Telemetry) -> Self {
        let (compiler, schedule) = (Compiler::new(scope.clone()), Schedule::new(timing));
        Self {
            scope,
            compiler,
            schedule,
            telemetry,
            synced: false,
            replace: true,
        }
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Change(event) => self.compiler.apply(event),
            Update::Synced => {
                self.synced = true;
                info!("everything is known; writing the rules");
                self.warn_of_empty_node();
            }
        }
        if self.synced {
            self.schedule.changed(Instant::now());
        }
    }

    /// An agent with a mistyped node name would enforce nothing, and look well.
    fn warn_of_empty_node(&self) {
        let NodeScope::Node(node) = &self.scope else {
            return;
        };
        let pods = &self.compiler.snapshot().pods;
        if !pods.is_empty() && !pods.values().any(|pod| self.scope.is_local(pod)) {
            let other = pods
                .values()
                .find_map(|pod| pod.node.as_ref())
                .map(ToString::to_string);
            warn!(%node, other, "no pod runs on this node: is that its name? Another one is given in `other`");
        }
    }

    /// When to commit next.
    fn due(&self) -> Option<Instant> {
        self.schedule.due()
    }

    /// Sends what has changed on its way.
    fn start<D: Dataplane + 'static>(&mut self, state: State<D>) -> State<D> {
        let State::Idle(mut dataplane) = state else {
            return state;
        };
        self.schedule.started();
        self.telemetry.set_counts(self.counts());
        let change = self.compiler.take_transaction();
        let transaction = if self.replace {
            Transaction::replace(self.compiler.ruleset())
        } else {
            change
        };
        if transaction.is_empty() {
            return State::Idle(dataplane);
        }
        State::Committing(Box::pin(async move {
            let start = Instant::now();
            let result = dataplane.commit(&transaction).await;
            (
                dataplane,
                Outcome {
                    result,
                    took: start.elapsed(),
                },
            )
        }))
    }

    fn finish(&mut self, Outcome { result, took }: Outcome) {
        match result {
            Ok(()) => {
                self.schedule.succeeded();
                self.telemetry.committed(took);
                if std::mem::take(&mut self.replace) {
                    let isolated_pods = self.counts().isolated_pods;
                    info!(?took, isolated_pods, "the rules are in force");
                } else {
                    debug!(?took, "the rules are up to date");
                }
            }
            Err(error) => {
                // A change may fail because the table is not what it is thought to be: writing it whole mends that.
                let was_change = !std::mem::replace(&mut self.replace, true);
                let again_in = self.schedule.failed(Instant::now(), was_change);
                self.telemetry.commit_failed(took, &error.to_string());
                error!(%error, ?again_in, "the rules could not be written; those in the kernel stay as they are");
            }
        }
    }

    fn counts(&self) -> Counts {
        let snapshot = self.compiler.snapshot();
        Counts {
            namespaces: snapshot.namespaces.len(),
            pods: snapshot.pods.len(),
            policies: snapshot.policies.len(),
            isolated_pods: isolated_pods(self.compiler.ruleset()),
        }
    }
}

/// A pod that is isolated has a chain in each direction that it is isolated in.
fn isolated_pods(ruleset: &Ruleset) -> usize {
    let chains = ruleset
        .chains
        .keys()
        .filter(|name| name.as_str().starts_with("pod/"));
    let pods: BTreeSet<&str> = chains
        .filter_map(|name| Some(name.as_str().rsplit_once('/')?.0))
        .collect();
    pods.len()
}
