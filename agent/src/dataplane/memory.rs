//! A dataplane that only remembers, for tests.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::libc;
use policy_compiler::ruleset::{Ruleset, Transaction};

use super::{Dataplane, Found, NetlinkError};

/// Keeps the scripts it is given; refuses as many as it was told to. Clones share their memory.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

/// Makes an error.
type Failure = Box<dyn FnOnce() -> NetlinkError + Send>;

#[derive(Default)]
struct State {
    attempts: Vec<String>,
    committed: Vec<String>,
    failures: VecDeque<Failure>,
    failed_readings: VecDeque<Failure>,
    overtaken: usize,
    has_table: bool,
    findings: VecDeque<Found>,
    may_be_changed: bool,
    finds_it_right: bool,
    bytes_sent: u64,
    readings: usize,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one more coming commit fail, with this for the error.
    pub fn fail_next(&self, reason: &str) {
        self.fail_next_with(refused(reason));
    }

    /// Makes one more coming commit fail in another way.
    pub fn fail_next_with(&self, error: impl FnOnce() -> NetlinkError + Send + 'static) {
        self.state().failures.push_back(Box::new(error));
    }

    /// Makes one more coming reading fail.
    pub fn fail_reading(&self, reason: &str) {
        self.state()
            .failed_readings
            .push_back(Box::new(refused(reason)));
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

    /// Whether somebody else may have changed the table, from now on. Otherwise it is known that nobody has.
    pub fn set_changeable(&self, may_be_changed: bool) {
        self.state().may_be_changed = may_be_changed;
    }

    /// From now on a table is found to be right, unless [something else](Self::find_next) is.
    pub fn find_right(&self) {
        self.state().finds_it_right = true;
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

fn refused(reason: &str) -> impl FnOnce() -> NetlinkError + Send + 'static {
    let reason = reason.to_owned();
    move || NetlinkError::Refused {
        command: "add table inet netpol".to_owned(),
        reason,
        errno: libc::EINVAL,
        others: 0,
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
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
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

    async fn has_table(&mut self) -> Result<bool, NetlinkError> {
        Ok(self.state().has_table)
    }

    async fn read(&mut self, wanted: Arc<Ruleset>) -> Result<Found, NetlinkError> {
        let mut state = self.state();
        state.readings += 1;
        if let Some(failure) = state.failed_readings.pop_front() {
            return Err(failure());
        }
        Ok(match (state.has_table, state.findings.pop_front()) {
            (_, Some(found)) => found,
            (true, None) if state.finds_it_right => Found::Same,
            (true, None) => Found::Differs {
                repair: Transaction::replace(&wanted),
                differences: vec!["everything".to_owned()],
            },
            (false, None) => Found::Nothing,
        })
    }

    async fn repair(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
        let overtaken = self.state().overtaken;
        if overtaken > 0 {
            self.state().overtaken = overtaken - 1;
            return Err(NetlinkError::Overtaken);
        }
        self.commit(transaction).await
    }

    async fn is_as_left(&mut self) -> Result<bool, NetlinkError> {
        let state = self.state();
        Ok(state.has_table && !state.may_be_changed)
    }

    fn bytes_sent(&self) -> u64 {
        self.state().bytes_sent
    }
}
