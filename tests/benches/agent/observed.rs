//! A dataplane that tells when it has committed.

use std::time::Instant;

use futures::channel::mpsc::UnboundedSender;
use netpol_agent::dataplane::{Dataplane, DataplaneError, NetlinkDataplane};
use policy_compiler::ruleset::{Operation, Transaction};

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
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
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

    async fn has_table(&mut self) -> Result<bool, DataplaneError> {
        self.inner.has_table().await
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
