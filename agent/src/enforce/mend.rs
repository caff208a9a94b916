//! How the table is made what it should be, whatever it is.

use std::sync::Arc;
use std::time::Duration;

use policy_compiler::ruleset::{Operation, Ruleset, Transaction};
use tokio::time::Instant;
use tracing::debug;

use super::counts::moved;
use crate::dataplane::{Dataplane, Found, NetlinkError, Part};
use crate::telemetry::Telemetry;

/// How often a table is read that another program changes each time before it is mended. Then it is replaced.
const READINGS: u32 = 5;

/// How long that is tried. A policy's changes wait meanwhile, which is worse than counters that begin anew.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// Commits a transaction and tells what became of it.
pub(super) async fn commit<D: Dataplane>(
    dataplane: &mut D,
    transaction: &Transaction,
    telemetry: &Telemetry,
) -> Result<(), NetlinkError> {
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
) -> Result<(), NetlinkError> {
    let start = Instant::now();
    let result = dataplane.repair(repair).await;
    tell(dataplane, repair, &result, start, telemetry);
    result
}

fn tell<D: Dataplane>(
    dataplane: &D,
    transaction: &Transaction,
    result: &Result<(), NetlinkError>,
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
pub(super) async fn put_right<D: Dataplane>(
    dataplane: &mut D,
    wanted: &Arc<Ruleset>,
    telemetry: &Telemetry,
) -> Result<Written, NetlinkError> {
    match dataplane.read(Arc::clone(wanted)).await {
        Ok(found) => settle(dataplane, wanted, found, telemetry).await,
        Err(error) => {
            debug!(%error, "the table cannot be read; replacing it");
            replace(dataplane, wanted, telemetry).await
        }
    }
}

/// The same where something was found already.
pub(super) async fn settle<D: Dataplane>(
    dataplane: &mut D,
    wanted: &Arc<Ruleset>,
    mut found: Found,
    telemetry: &Telemetry,
) -> Result<Written, NetlinkError> {
    let mut readings = 1;
    let begun = Instant::now();
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
            Err(error)
                if error.is_overtaken() && readings < READINGS && begun.elapsed() < PATIENCE =>
            {
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
) -> Result<Written, NetlinkError> {
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
