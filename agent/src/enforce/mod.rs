//! The heart of the agent: what a source says becomes what the kernel enforces.
//!
//! ```text
//! source ──→ Compiler ──→ (wait until it is quiet) ──→ Transaction ──→ dataplane
//!                ▲                                                        │
//!                └── after a failure: the whole table, again and again   ◄
//! ```
//!
//! Nothing is written before the source has said all there is, so that a restart never opens what was closed. Whatever
//! fails, the kernel keeps the rules it has. Now and then the kernel is asked whether it still has the table: other
//! programs (`nft flush ruleset`, the start of a firewall service) may take it away.

mod enforcer;
mod schedule;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::stream::{Stream, StreamExt};
use policy_compiler::model::NodeScope;
use policy_compiler::ruleset::Transaction;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::dataplane::{Dataplane, DataplaneError};
use crate::flow_log::FlowLog;
use crate::source::Update;
use crate::telemetry::Telemetry;
use enforcer::Enforcer;
pub use schedule::Timing;

/// The source ended, which none does of itself.
#[derive(Debug, thiserror::Error)]
#[error("the source of objects broke down; the rules stay as they are")]
pub struct SourceEnded;

/// How often the loop shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often the kernel is asked for the table. Until then a node whose table was deleted is open.
const INSPECTION: Duration = Duration::from_secs(5);

/// What is enforced, and who is told.
#[derive(Debug)]
pub struct Enforcement {
    /// Whose pods are enforced.
    pub scope: NodeScope,
    /// How changes are gathered.
    pub timing: Timing,
    /// Metrics and health.
    pub telemetry: Telemetry,
    /// Where drops are told.
    pub flow_log: FlowLog,
}

/// Enforces what `source` says until `stop` completes, and returns what that says. The rules stay in the kernel when this
/// ends or is dropped.
pub async fn enforce<D: Dataplane + 'static, S>(
    source: impl Stream<Item = Update>,
    dataplane: D,
    enforcement: Enforcement,
    stop: impl Future<Output = S>,
) -> Result<S, SourceEnded> {
    let (mut source, mut stop) = (pin!(source), pin!(stop));
    let telemetry = enforcement.telemetry.clone();
    let mut enforcer = Enforcer::new(enforcement);
    let mut state = State::Idle(dataplane);
    let [mut heartbeat, mut inspection] = [HEARTBEAT, INSPECTION].map(interval);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    inspection.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let idle = matches!(state, State::Idle(_));
        let due = enforcer.due().filter(|_| idle);
        tokio::select! {
            biased;
            stopped = &mut stop => {
                // Whatever is under way, `nft` included, is given up: a transaction is whole or nothing.
                drop(state);
                enforcer.close().await;
                return Ok(stopped);
            }
            _ = heartbeat.tick() => telemetry.beat(),
            (dataplane, work) = state.done() => {
                state = State::Idle(dataplane);
                match work {
                    Work::Commit(outcome) => enforcer.finish(outcome),
                    Work::Inspection(found) => enforcer.inspected(found),
                }
            }
            () = reach(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some(transaction) = enforcer.start() {
                    state = state.commit(transaction);
                }
            }
            _ = inspection.tick(), if idle && enforcer.has_written() => state = state.inspect(),
            occurrence = enforcer.flow_log.next() => enforcer.log(occurrence),
            update = source.next() => match update {
                Some(update) => enforcer.take(update),
                None => return Err(SourceEnded),
            },
        }
    }
}

/// Waits until a time comes. The timer counts in whole milliseconds and would keep what is due already for one more.
async fn reach(time: Instant) {
    if time > Instant::now() {
        sleep_until(time).await;
    }
}

/// What became of a transaction, and how long it took.
struct Outcome {
    result: Result<(), DataplaneError>,
    took: Duration,
}

/// What the dataplane did.
enum Work {
    Commit(Outcome),
    /// Whether the table is there.
    Inspection(Result<bool, DataplaneError>),
}

/// The dataplane is at hand, or busy; updates are taken in all the while.
enum State<D> {
    Idle(D),
    Busy(Pin<Box<dyn Future<Output = (D, Work)>>>),
}

impl<D: Dataplane + 'static> State<D> {
    /// Completes when what is under way does.
    async fn done(&mut self) -> (D, Work) {
        match self {
            Self::Idle(_) => std::future::pending().await,
            Self::Busy(work) => work.await,
        }
    }

    fn commit(self, transaction: Transaction) -> Self {
        let Self::Idle(mut dataplane) = self else {
            return self;
        };
        Self::Busy(Box::pin(async move {
            let start = Instant::now();
            let result = dataplane.commit(&transaction).await;
            let took = start.elapsed();
            (dataplane, Work::Commit(Outcome { result, took }))
        }))
    }

    fn inspect(self) -> Self {
        let Self::Idle(mut dataplane) = self else {
            return self;
        };
        Self::Busy(Box::pin(async move {
            let found = dataplane.has_table().await;
            (dataplane, Work::Inspection(found))
        }))
    }
}
