//! Connections that policies allow no longer are cut, although they were made when they were allowed.
//!
//! ```text
//! commit ──→ concerned: whose addresses? ──→ worker (a thread): the kernel's list, chunk by chunk ──→ pass (the loop):
//!                                                ▲                                                  judged, a turn at a time
//!                                                └── labels set, taken away, entries deleted ◄──────────────┘
//! ```
//!
//! The rules let packets of tracked connections pass unjudged, so a commit that forbids something forbids only what begins
//! after it. What there is already is looked at here: the connections of the addresses that the commit concerns, judged
//! by the evaluator. Those that are not allowed get a label, by which the table's first rule knows them; who is allowed again
//! loses it. Whatever fails here is tried again and keeps nothing from being enforced.

pub mod causes;
pub mod concerned;
mod debt;
mod failures;
mod pace;
mod pass;
mod record;
mod rest;
mod running;
mod worker;

#[cfg(test)]
mod tests;

use std::future::pending;

use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::NodeScope;
use tracing::error;

use crate::flow_log::FlowLog;
use crate::telemetry::Telemetry;
use concerned::Concerned;
pub use pass::Tally;
use running::Running;
use worker::Worker;

/// Something to do, for [`Revocation::take`].
#[derive(Debug)]
pub struct Occurrence(running::Occurrence);

/// Cuts connections, or leaves them alone.
#[derive(Debug, Default)]
pub struct Revocation {
    running: Option<Box<Running>>,
}

impl Revocation {
    /// Connections are left alone.
    pub fn off() -> Self {
        Self::default()
    }

    /// Those of the pods of `scope` are cut. Where there can be no thread for it the agent goes on without.
    pub fn start(scope: NodeScope, telemetry: &Telemetry) -> Self {
        match Worker::start() {
            Ok(worker) => Self {
                running: Some(Box::new(Running::new(scope, worker, telemetry.clone()))),
            },
            Err(error) => {
                error!(%error, "no thread to cut connections by; those that policies forbid later stay open");
                Self::off()
            }
        }
    }

    /// Whether connections are cut.
    pub fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// An event is about to be applied.
    pub fn before(&mut self, event: &Event, compiler: &Compiler) {
        if let Some(running) = &mut self.running {
            running.before(event, compiler);
        }
    }

    /// All that is known now is about to be written, and concerns these. They are only asked for where it matters.
    pub fn committing(&mut self, concerned: impl FnOnce() -> Concerned) {
        if let Some(running) = &mut self.running {
            running.committing(concerned());
        }
    }

    /// It is in the kernel.
    pub fn committed(&mut self) {
        if let Some(running) = &mut self.running {
            running.committed();
        }
    }

    /// Waits for something to do. Loses nothing when dropped.
    pub async fn next(&mut self) -> Occurrence {
        match &mut self.running {
            None => pending().await,
            Some(running) => Occurrence(running.next().await),
        }
    }

    /// Does it.
    pub fn take(&mut self, occurrence: Occurrence, compiler: &Compiler, flow_log: &mut FlowLog) {
        if let Some(running) = &mut self.running {
            running.take(occurrence.0, compiler, flow_log);
        }
    }
}
