//! A dataplane that tells when it has committed.

use std::sync::Arc;
use std::time::Instant;

use futures::channel::mpsc::UnboundedSender;
use netpol_agent::dataplane::{Dataplane, Found, NetlinkDataplane, NetlinkError};
use policy_compiler::ruleset::{Operation, Ruleset, Transaction};

/// One commit, once the kernel has it.
pub(super) struct Commit {
    /// When the dataplane was asked.
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// Elements and entries that were added or deleted.
    pub(super) elements: usize,
    pub(super) operations: usize,
}

pub(super) struct Observed {
    pub(super) inner: NetlinkDataplane,
    pub(super) commits: UnboundedSender<Commit>,
}

impl Dataplane for Observed {
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
        let began = Instant::now();
        let result = self.inner.commit(transaction).await;
        let ended = Instant::now();
        if let Err(error) = &result {
            panic!("{error}");
        }
        let operations = transaction.operations();
        let commit = Commit {
            began,
            ended,
            elements: operations.iter().map(elements).sum(),
            operations: operations.len(),
        };
        // Nobody listens at the end.
        let _ = self.commits.unbounded_send(commit);
        result
    }

    async fn has_table(&mut self) -> Result<bool, NetlinkError> {
        self.inner.has_table().await
    }

    async fn read(&mut self, wanted: Arc<Ruleset>) -> Result<Found, NetlinkError> {
        self.inner.read(wanted).await
    }

    async fn is_as_left(&mut self) -> Result<bool, NetlinkError> {
        self.inner.is_as_left().await
    }
}

fn elements(operation: &Operation) -> usize {
    match operation {
        Operation::Load(ruleset) => {
            let sets = ruleset.sets.values().map(|set| set.elements.len());
            let maps = ruleset.maps.values().map(|map| map.elements.len());
            sets.chain(maps).sum()
        }
        Operation::AddElements(_, elements) | Operation::DeleteElements(_, elements) => {
            elements.len()
        }
        Operation::AddMapElements(_, entries) | Operation::DeleteMapElements(_, entries) => {
            entries.len()
        }
        _ => 0,
    }
}
