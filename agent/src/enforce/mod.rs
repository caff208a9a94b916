//! The heart of the agent: what a source says becomes what the kernel enforces.
//!
//! ```text
//! source ──→ Compiler ──→ (wait until it is quiet) ──→ Transaction ──→ dataplane
//!                ▲                                                        │
//!                └── after a failure: the whole table, again and again   ◄
//! ```
//!
//! Nothing is written before the source has said all there is, so that a restart never opens what was closed. Whatever
//! fails, the kernel keeps the rules it has. Other programs may change them (`nft flush ruleset`, the start of a firewall
//! service): whoever watches the kernel says so, and all is written anew at once, or behind the commit under way.

mod enforcer;
mod repairs;
mod schedule;
#[cfg(test)]
mod tests;

use std::future::{Future, ready};
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::stream::{Stream, StreamExt, pending};
use policy_compiler::model::NodeScope;
use policy_compiler::ruleset::{Operation, Ruleset, Transaction};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::debug;

use crate::dataplane::{Dataplane, DataplaneError, Disturbance, Found};
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

/// How often the kernel is asked for the table if somebody watches it: in case that what they say gets lost.
pub const RARE_INSPECTION: Duration = Duration::from_secs(300);

/// How often it is asked if nobody does. Until then a node whose table was deleted is open.
pub const FREQUENT_INSPECTION: Duration = Duration::from_secs(5);

/// What is enforced, and who is told.
#[derive(Debug)]
pub struct Enforcement {
    /// Whose pods are enforced.
    pub scope: NodeScope,
    /// How changes are gathered.
    pub timing: Timing,
    /// How often the kernel is asked for the table, whatever is said of it.
    pub inspection: Duration,
    /// Metrics and health.
    pub telemetry: Telemetry,
    /// Where drops are told.
    pub flow_log: FlowLog,
}

/// Enforces what `source` says until `stop` completes, and returns what that says. What others do to the rules is told by
/// `disturbances`, as far as anybody knows. The rules stay in the kernel when this ends or is dropped.
pub async fn enforce<D: Dataplane + 'static, S>(
    source: impl Stream<Item = Update>,
    dataplane: D,
    disturbances: impl Stream<Item = Disturbance>,
    enforcement: Enforcement,
    stop: impl Future<Output = S>,
) -> Result<S, SourceEnded> {
    let (mut source, mut stop) = (pin!(source), pin!(stop));
    // One that ends says nothing any more, as one that nobody feeds.
    let mut disturbances = pin!(disturbances.chain(pending()));
    let telemetry = enforcement.telemetry.clone();
    let [mut heartbeat, mut inspection] = [HEARTBEAT, enforcement.inspection].map(interval);
    let mut enforcer = Enforcer::new(enforcement);
    let mut state = State::Idle(dataplane);
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
            Some(disturbance) = disturbances.next() => enforcer.disturbed(disturbance, idle),
            () = ready(()), if idle && enforcer.must_look() => state = state.inspect(&mut enforcer),
            () = reach(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some(write) = enforcer.start() {
                    state = state.write(write);
                }
            }
            _ = inspection.tick(), if idle && enforcer.has_written() => state = state.inspect(&mut enforcer),
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

/// What is to be written.
enum Write {
    /// What changed since the last time.
    Change(Transaction),
    /// Whatever makes the table this, however it is now.
    Whole(Ruleset),
}

/// What became of a write, and how long it took.
struct Outcome {
    result: Result<Written, DataplaneError>,
    took: Duration,
}

/// How a table was made what it should be.
#[derive(Debug, Default)]
struct Written {
    /// It was made anew, and all its counters with it.
    is_new: bool,
    /// What was found in it that should have been otherwise.
    differences: Vec<String>,
}

/// What there is of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glance {
    /// It is not there.
    Nothing,
    /// It is there, and somebody may have changed it.
    Table,
    /// It is there, and nobody has changed it.
    AsLeft,
}

/// What the dataplane did.
enum Work {
    Commit(Outcome),
    /// What the kernel says when it is asked.
    Inspection(Result<Glance, DataplaneError>),
}

async fn look(dataplane: &mut impl Dataplane) -> Result<Glance, DataplaneError> {
    Ok(if dataplane.is_as_left().await? {
        Glance::AsLeft
    } else if dataplane.has_table().await? {
        Glance::Table
    } else {
        Glance::Nothing
    })
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

    fn write(self, write: Write) -> Self {
        let Self::Idle(mut dataplane) = self else {
            return self;
        };
        Self::Busy(Box::pin(async move {
            let start = Instant::now();
            let result = match write {
                Write::Change(transaction) => {
                    let done = dataplane.commit(&transaction).await;
                    done.map(|()| Written::default())
                }
                Write::Whole(wanted) => put_right(&mut dataplane, &wanted).await,
            };
            let took = start.elapsed();
            (dataplane, Work::Commit(Outcome { result, took }))
        }))
    }

    /// Asks for the table.
    fn inspect(self, enforcer: &mut Enforcer) -> Self {
        let Self::Idle(mut dataplane) = self else {
            return self;
        };
        enforcer.looking();
        Self::Busy(Box::pin(async move {
            let found = look(&mut dataplane).await;
            (dataplane, Work::Inspection(found))
        }))
    }
}

/// Makes the table what it should be: of what is there already, and right, nothing is touched, so that the table of an
/// earlier agent is taken over with its counters. What cannot be compared or mended is replaced, in one transaction.
async fn put_right<D: Dataplane>(
    dataplane: &mut D,
    wanted: &Ruleset,
) -> Result<Written, DataplaneError> {
    if let Ok(found) = dataplane.read(wanted).await {
        let (repair, differences) = match found {
            Found::Same => return Ok(Written::default()),
            Found::Differs {
                repair,
                differences,
            } => (repair, differences),
            Found::Nothing => (Transaction::replace(wanted), Vec::new()),
        };
        let is_new = repair.operations().contains(&Operation::DeleteTable);
        match dataplane.commit(&repair).await {
            Ok(()) => {
                return Ok(Written {
                    is_new,
                    differences,
                });
            }
            Err(error) if is_new => return Err(error),
            Err(error) => debug!(%error, "the table could not be mended; replacing it"),
        }
    }
    dataplane.commit(&Transaction::replace(wanted)).await?;
    Ok(Written {
        is_new: true,
        differences: Vec::new(),
    })
}
