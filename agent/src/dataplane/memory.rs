//! A dataplane that only remembers, for tests.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy_compiler::ruleset::{Ruleset, Transaction};

use super::{Dataplane, DataplaneError, Found, NetlinkError};

/// Keeps the scripts it is given; refuses as many as it was told to. Clones share their memory.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

/// Makes an error.
type Failure = Box<dyn FnOnce() -> DataplaneError + Send>;

#[derive(Default)]
struct State {
    attempts: Vec<String>,
    committed: Vec<String>,
    failures: VecDeque<Failure>,
    failed_readings: VecDeque<Failure>,
    overtaken: usize,
    has_table: bool,
    findings: VecDeque<Found>,
    is_as_left: bool,
    bytes_sent: u64,
    compares: bool,
    readings: usize,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one more coming commit fail, with this for the error.
    pub fn fail_next(&self, stderr: &str) {
        self.fail_next_with(refused(stderr));
    }

    /// Makes one more coming commit fail in another way.
    pub fn fail_next_with(&self, error: impl FnOnce() -> DataplaneError + Send + 'static) {
        self.state().failures.push_back(Box::new(error));
    }

    /// Makes one more coming reading fail.
    pub fn fail_reading(&self, stderr: &str) {
        self.state()
            .failed_readings
            .push_back(Box::new(refused(stderr)));
    }

    /// Another program changes the table behind so many coming readings, before it is repaired.
    pub fn overtake_next(&self, readings: usize) {
        self.state().overtaken = readings;
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

    /// From now on a table is found to be right, unless [something else](Self::find_next) is.
    pub fn compare(&self) {
        self.state().compares = true;
    }

    /// How often the table was read.
    pub fn readings(&self) -> usize {
        self.state().readings
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

fn refused(stderr: &str) -> impl FnOnce() -> DataplaneError + Send + 'static {
    let stderr = stderr.to_owned();
    move || DataplaneError::Refused {
        stderr,
        culprit: None,
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("committed", &self.committed())
            .finish_non_exhaustive()
    }
}

impl Dataplane for Memory {
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
        let script = transaction.to_string();
        let mut state = self.state();
        state.attempts.push(script.clone());
        state.bytes_sent += script.len() as u64;
        if let Some(failure) = state.failures.pop_front() {
            return Err(failure());
        }
        state.committed.push(script);
        state.has_table = true;
        Ok(())
    }

    async fn has_table(&mut self) -> Result<bool, DataplaneError> {
        Ok(self.state().has_table)
    }

    async fn read(&mut self, wanted: Arc<Ruleset>) -> Result<Found, DataplaneError> {
        let mut state = self.state();
        state.readings += 1;
        if let Some(failure) = state.failed_readings.pop_front() {
            return Err(failure());
        }
        Ok(match (state.has_table, state.findings.pop_front()) {
            (_, Some(found)) => found,
            (true, None) if state.compares => Found::Same,
            (true, None) => Found::Differs {
                repair: Transaction::replace(&wanted),
                differences: vec!["everything".to_owned()],
            },
            (false, None) => Found::Nothing,
        })
    }

    async fn repair(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
        let overtaken = self.state().overtaken;
        if overtaken > 0 {
            self.state().overtaken = overtaken - 1;
            return Err(NetlinkError::Overtaken.into());
        }
        self.commit(transaction).await
    }

    fn compares(&self) -> bool {
        self.state().compares
    }

    async fn is_as_left(&mut self) -> Result<bool, DataplaneError> {
        Ok(self.state().is_as_left)
    }

    fn bytes_sent(&self) -> u64 {
        self.state().bytes_sent
    }
}
