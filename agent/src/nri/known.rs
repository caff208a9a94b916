//! The sandboxes told of, so that what stopped while there was no connection can be told too.

use std::collections::{HashMap, HashSet};

use super::Sandbox;

/// More than any node has. Of what is beyond, the stop is told only if the runtime tells it.
const MOST: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Known {
    sandboxes: HashMap<String, Sandbox>,
}

impl Known {
    pub(super) fn add(&mut self, sandbox: &Sandbox) {
        if self.sandboxes.len() < MOST || self.sandboxes.contains_key(&sandbox.id) {
            self.sandboxes.insert(sandbox.id.clone(), sandbox.clone());
        }
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Sandbox> {
        self.sandboxes.remove(id)
    }

    /// Forgets and returns those that are not among the ones that run.
    pub(super) fn retain(&mut self, running: &HashSet<String>) -> Vec<Sandbox> {
        let gone = self.sandboxes.extract_if(|id, _| !running.contains(id));
        gone.map(|(_, sandbox)| sandbox).collect()
    }
}
