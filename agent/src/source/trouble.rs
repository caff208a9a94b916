//! What is in the way of watching a kind.

use std::time::Duration;

use kube::runtime::watcher;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Kind;
use super::client::describe;
use crate::telemetry::Telemetry;

/// An error that stays the same is told again after this.
const REMINDER: Duration = Duration::from_secs(60);

/// Tells of errors in proportion: a new one at once, the same one now and then, and when it is over.
pub(super) struct Trouble {
    kind: Kind,
    telemetry: Telemetry,
    told: Option<(String, Instant)>,
    listed: bool,
}

impl Trouble {
    pub(super) fn new(kind: Kind, telemetry: Telemetry) -> Self {
        Self {
            kind,
            telemetry,
            told: None,
            listed: false,
        }
    }

    /// All objects of the kind are known.
    pub(super) fn listed(&mut self) {
        self.listed = true;
    }

    /// A request failed.
    pub(super) fn with(&mut self, error: &watcher::Error) {
        self.telemetry.source_failed(self.kind.plural());
        let problem = self.problem(error);
        if !self.listed {
            self.telemetry
                .waiting_for(self.kind.plural(), Some(problem.clone()));
        }
        if self
            .told
            .as_ref()
            .is_some_and(|(told, when)| *told == problem && when.elapsed() < REMINDER)
        {
            debug!(
                kind = self.kind.plural(),
                error = problem,
                "still out of reach"
            );
            return;
        }
        let meanwhile = if self.listed {
            "the rules stay as they are"
        } else {
            "no rules are written yet"
        };
        warn!(
            kind = self.kind.plural(),
            error = problem,
            meanwhile,
            "cannot watch; trying again"
        );
        self.told = Some((problem, Instant::now()));
    }

    /// A request was answered.
    pub(super) fn over(&mut self) {
        if self.told.take().is_some() {
            info!(kind = self.kind.plural(), "can watch again");
        }
    }

    fn problem(&self, error: &watcher::Error) -> String {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => describe(self.kind, error),
            watcher::Error::WatchError(status) => status.message.clone(),
            watcher::Error::NoResourceVersion => "the answer has no resourceVersion".to_owned(),
        }
    }
}
