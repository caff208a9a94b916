//! What the dataplane is given to do while the loop goes on: to write, or to look at the table.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use policy_compiler::ruleset::{Operation, Ruleset, Transaction};
use tokio::time::Instant;
use tracing::debug;

use super::counts::moved;
use super::enforcer::Enforcer;
use crate::dataplane::{Dataplane, DataplaneError, Found, Part};
use crate::telemetry::Telemetry;

/// What is to be written.
pub(super) enum Write {
    /// What changed since the last time.
    Change(Transaction),
    /// Whatever makes the table this, however it is now.
    Whole(Arc<Ruleset>),
    /// What the table should be already. It is not touched if it cannot be compared.
    Compare(Arc<Ruleset>),
}

/// How often a table is read that another program changes each time before it is mended. Then it is replaced.
const READINGS: u32 = 5;

/// What became of a write, and how long it took.
pub(super) struct Outcome {
    pub(super) result: Result<Written, DataplaneError>,
    pub(super) took: Duration,
    /// The whole table was looked at, or written.
    pub(super) is_whole: bool,
}

/// How a table was made what it should be.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// It was made anew, and all its counters with it.
    pub(super) is_new: bool,
    /// What was put right, if anything was found to be.
    pub(super) part: Option<Part>,
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
    /// The same, and it can be compared.
    Comparable,
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
        if dataplane.compares() {
            Glance::Comparable
        } else {
            Glance::Table
        }
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
            let is_whole = !matches!(write, Write::Change(_));
            let result = match write {
                Write::Change(transaction) => {
                    let done = commit(&mut dataplane, &transaction, &telemetry).await;
                    done.map(|()| Written::default())
                }
                Write::Whole(wanted) => put_right(&mut dataplane, &wanted, &telemetry).await,
                Write::Compare(wanted) => match dataplane.read(Arc::clone(&wanted)).await {
                    Ok(found) => settle(&mut dataplane, &wanted, found, &telemetry).await,
                    Err(error) => return (dataplane, Work::Inspection(Err(error))),
                },
            };
            let took = start.elapsed();
            let outcome = Outcome {
                result,
                took,
                is_whole,
            };
            (dataplane, Work::Commit(outcome))
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
    tell(dataplane, transaction, &result, start, telemetry);
    result
}

/// The same for a repair of what was read.
async fn mend<D: Dataplane>(
    dataplane: &mut D,
    repair: &Transaction,
    telemetry: &Telemetry,
) -> Result<(), DataplaneError> {
    let start = Instant::now();
    let result = dataplane.repair(repair).await;
    tell(dataplane, repair, &result, start, telemetry);
    result
}

fn tell<D: Dataplane>(
    dataplane: &D,
    transaction: &Transaction,
    result: &Result<(), DataplaneError>,
    start: Instant,
    telemetry: &Telemetry,
) {
    let took = start.elapsed();
    telemetry.set_sent(dataplane.bytes_sent());
    match result {
        Ok(()) => telemetry.committed(took, moved(transaction)),
        // That is no fault: it is made anew.
        Err(error) if error.is_overtaken() => {}
        Err(_) => telemetry.commit_failed(took),
    }
}

/// Makes the table what it should be: of what is there already, and right, nothing is touched, so that the table of an
/// earlier agent is taken over with its counters. What cannot be compared or mended is replaced, in one transaction.
async fn put_right<D: Dataplane>(
    dataplane: &mut D,
    wanted: &Arc<Ruleset>,
    telemetry: &Telemetry,
) -> Result<Written, DataplaneError> {
    match dataplane.read(Arc::clone(wanted)).await {
        Ok(found) => settle(dataplane, wanted, found, telemetry).await,
        Err(_) => replace(dataplane, wanted, telemetry).await,
    }
}

/// The same where something was found already.
async fn settle<D: Dataplane>(
    dataplane: &mut D,
    wanted: &Arc<Ruleset>,
    mut found: Found,
    telemetry: &Telemetry,
) -> Result<Written, DataplaneError> {
    let mut readings = 1;
    loop {
        let (repair, differences) = match found {
            Found::Same => return Ok(Written::default()),
            Found::Differs {
                repair,
                differences,
            } => (repair, differences),
            Found::Nothing => (Transaction::replace(wanted), Vec::new()),
        };
        let part = part(&repair);
        let is_new = repair.operations().contains(&Operation::DeleteTable);
        let done = if is_new {
            commit(dataplane, &repair, telemetry).await
        } else {
            mend(dataplane, &repair, telemetry).await
        };
        match done {
            Ok(()) => {
                return Ok(Written {
                    is_new,
                    part: Some(part),
                    differences,
                });
            }
            Err(error) if is_new => return Err(error),
            Err(error) if error.is_overtaken() && readings < READINGS => {
                debug!(%error, "the table must be read again");
            }
            Err(error) => {
                debug!(%error, "the table could not be mended; replacing it");
                break;
            }
        }
        match dataplane.read(Arc::clone(wanted)).await {
            Ok(again) => found = again,
            Err(_) => break,
        }
        readings += 1;
    }
    replace(dataplane, wanted, telemetry).await
}

async fn replace<D: Dataplane>(
    dataplane: &mut D,
    wanted: &Ruleset,
    telemetry: &Telemetry,
) -> Result<Written, DataplaneError> {
    commit(dataplane, &Transaction::replace(wanted), telemetry).await?;
    Ok(Written {
        is_new: true,
        part: Some(Part::Table),
        differences: Vec::new(),
    })
}

/// What a repair is called by. All of them make the table, which wakes up one that sleeps.
fn part(repair: &Transaction) -> Part {
    let parts = repair.operations().iter().filter_map(|operation| {
        Some(match operation {
            Operation::AddTable => return None,
            Operation::DeleteTable | Operation::Load(_) => Part::Table,
            Operation::AddChain(..) | Operation::DeleteChain(_) => Part::Chain,
            Operation::FlushChain(_) | Operation::AddRule(..) => Part::Rule,
            Operation::AddSet(..)
            | Operation::DeleteSet(_)
            | Operation::AddMap(..)
            | Operation::DeleteMap(_) => Part::Set,
            Operation::FlushSet(_)
            | Operation::AddElements(..)
            | Operation::DeleteElements(..)
            | Operation::AddMapElements(..)
            | Operation::DeleteMapElements(..) => Part::Element,
            Operation::AddCounter(_) | Operation::DeleteCounter(_) => Part::Other,
        })
    });
    parts.min().unwrap_or(Part::Table)
}
