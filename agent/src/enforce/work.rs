//! What the dataplane is given to do while the loop goes on: to write, or to look at the table.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use policy_compiler::ruleset::{Operation, Ruleset, Transaction};
use tokio::time::Instant;
use tracing::debug;

use super::counts::moved;
use super::enforcer::Enforcer;
use crate::dataplane::{Dataplane, DataplaneError, Found};
use crate::telemetry::Telemetry;

/// What is to be written.
pub(super) enum Write {
    /// What changed since the last time.
    Change(Transaction),
    /// Whatever makes the table this, however it is now.
    Whole(Ruleset),
}

/// What became of a write, and how long it took.
pub(super) struct Outcome {
    pub(super) result: Result<Written, DataplaneError>,
    pub(super) took: Duration,
}

/// How a table was made what it should be.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// It was made anew, and all its counters with it.
    pub(super) is_new: bool,
    /// What was found in it that should have been otherwise.
    pub(super) differences: Vec<String>,
}

/// What there is of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// It is not there.
    Nothing,
    /// It is there, and somebody may have changed it.
    Table,
    /// It is there, and nobody has changed it.
    AsLeft,
}

/// What the dataplane did.
pub(super) enum Work {
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
pub(super) enum State<D> {
    Idle(D),
    Busy(Pin<Box<dyn Future<Output = (D, Work)>>>),
}

impl<D: Dataplane + 'static> State<D> {
    /// Completes when what is under way does.
    pub(super) async fn done(&mut self) -> (D, Work) {
        match self {
            Self::Idle(_) => std::future::pending().await,
            Self::Busy(work) => work.await,
        }
    }

    pub(super) fn write(self, write: Write, telemetry: Telemetry) -> Self {
        let Self::Idle(mut dataplane) = self else {
            return self;
        };
        Self::Busy(Box::pin(async move {
            let start = Instant::now();
            let result = match write {
                Write::Change(transaction) => {
                    let done = commit(&mut dataplane, &transaction, &telemetry).await;
                    done.map(|()| Written::default())
                }
                Write::Whole(wanted) => put_right(&mut dataplane, &wanted, &telemetry).await,
            };
            let took = start.elapsed();
            (dataplane, Work::Commit(Outcome { result, took }))
        }))
    }

    /// Asks for the table.
    pub(super) fn inspect(self, enforcer: &mut Enforcer) -> Self {
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

/// Commits a transaction and tells what became of it.
async fn commit<D: Dataplane>(
    dataplane: &mut D,
    transaction: &Transaction,
    telemetry: &Telemetry,
) -> Result<(), DataplaneError> {
    let start = Instant::now();
    let result = dataplane.commit(transaction).await;
    let took = start.elapsed();
    telemetry.set_sent(dataplane.bytes_sent());
    match &result {
        Ok(()) => telemetry.committed(took, moved(transaction)),
        Err(_) => telemetry.commit_failed(took),
    }
    result
}

/// Makes the table what it should be: of what is there already, and right, nothing is touched, so that the table of an
/// earlier agent is taken over with its counters. What cannot be compared or mended is replaced, in one transaction.
async fn put_right<D: Dataplane>(
    dataplane: &mut D,
    wanted: &Ruleset,
    telemetry: &Telemetry,
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
        match commit(dataplane, &repair, telemetry).await {
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
    commit(dataplane, &Transaction::replace(wanted), telemetry).await?;
    Ok(Written {
        is_new: true,
        differences: Vec::new(),
    })
}
