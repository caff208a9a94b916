//! A dataplane that only remembers, for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy_compiler::ruleset::{Ruleset, Transaction};

use super::{Dataplane, DataplaneError, Found};

/// Keeps the scripts it is given; refuses as many as it was told to. Clones share their memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    attempts: Vec<String>,
    committed: Vec<String>,
    failures: VecDeque<String>,
    has_table: bool,
    findings: VecDeque<Found>,
    is_as_left: bool,
    bytes_sent: u64,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one more coming commit fail, with this for the error.
    pub fn fail_next(&self, stderr: &str) {
        self.state().failures.push_back(stderr.to_owned());
    }

    /// Forgets the table, as if another program had deleted it.
    pub fn lose_table(&self) {
        self.state().has_table = false;
    }

    /// Puts a table there, as an agent before this one may have left it.
    pub fn leave_table(&self) {
        self.state().has_table = true;
    }

    /// Makes one more coming reading of the table find this. Otherwise a table is found to differ in everything.
    pub fn find_next(&self, found: Found) {
        self.state().findings.push_back(found);
    }

    /// Whether it is known from now on that nobody else has changed the table.
    pub fn set_as_left(&self, is_as_left: bool) {
        self.state().is_as_left = is_as_left;
    }

    /// The scripts of all commits so far, the refused ones too.
    pub fn attempts(&self) -> Vec<String> {
        self.state().attempts.clone()
    }

    /// The scripts of the commits that were not refused.
    pub fn committed(&self) -> Vec<String> {
        self.state().committed.clone()
    }
}

impl Dataplane for Memory {
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
        let script = transaction.to_string();
        let mut state = self.state();
        state.attempts.push(script.clone());
        state.bytes_sent += script.len() as u64;
        if let Some(stderr) = state.failures.pop_front() {
            return Err(DataplaneError::Refused {
                stderr,
                culprit: None,
            });
        }
        state.committed.push(script);
        state.has_table = true;
        Ok(())
    }

    async fn has_table(&mut self) -> Result<bool, DataplaneError> {
        Ok(self.state().has_table)
    }

    async fn read(&mut self, wanted: &Ruleset) -> Result<Found, DataplaneError> {
        let mut state = self.state();
        Ok(match (state.has_table, state.findings.pop_front()) {
            (_, Some(found)) => found,
            (true, None) => Found::Differs {
                repair: Transaction::replace(wanted),
                differences: vec!["everything".to_owned()],
            },
            (false, None) => Found::Nothing,
        })
    }

    async fn is_as_left(&mut self) -> Result<bool, DataplaneError> {
        Ok(self.state().is_as_left)
    }

    fn bytes_sent(&self) -> u64 {
        self.state().bytes_sent
    }
}
