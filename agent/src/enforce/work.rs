//! What the dataplane is given to do while the loop goes on: to write, or to look at the table.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use policy_compiler::ruleset::{Ruleset, Transaction};
use tokio::time::Instant;

use super::enforcer::Enforcer;
use super::mend::{Written, commit, put_right, settle};
use crate::dataplane::{Dataplane, NetlinkError};
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

/// What became of a write, and how long it took.
pub(super) struct Outcome {
    pub(super) result: Result<Written, NetlinkError>,
    pub(super) took: Duration,
    /// The whole table was looked at, or written.
    pub(super) is_whole: bool,
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
    Inspection(Result<Glance, NetlinkError>),
}

async fn look(dataplane: &mut impl Dataplane) -> Result<Glance, NetlinkError> {
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
