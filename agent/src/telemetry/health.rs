//! Alive and ready.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::pod_start::Standing;

/// Longer than any work between two rounds of the event loop.
const ALIVE_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_beat: Option<Instant>,
    /// What has not been listed yet, and why.
    awaited: BTreeMap<String, Option<String>>,
    ever_committed: bool,
    failure: Option<String>,
    /// Another program has deleted the table.
    lost: bool,
    /// Why policies cannot be enforced on this node.
    node: Option<String>,
    pod_start: Standing,
}

/// Why the agent is not ready, in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady(String);

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn waiting_for(&self, what: &str, trouble: Option<String>) {
        self.state().awaited.insert(what.to_owned(), trouble);
    }

    pub(super) fn has_arrived(&self, what: &str) {
        self.state().awaited.remove(what);
    }

    pub(super) fn committed(&self) {
        let mut state = self.state();
        state.ever_committed = true;
        state.failure = None;
        state.lost = false;
    }

    pub(super) fn commit_failed(&self, problem: &str) {
        self.state().failure = Some(problem.to_owned());
    }

    pub(super) fn table_lost(&self) {
        self.state().lost = true;
    }

    pub(super) fn examined(&self, trouble: Option<String>) {
        self.state().node = trouble;
    }

    pub(super) fn set_pod_start(&self, standing: Standing) {
        self.state().pod_start = standing;
    }

    pub(super) fn remark(&self) -> Option<String> {
        self.state().pod_start.remark.clone()
    }

    pub(super) fn beat(&self) {
        self.state().last_beat = Some(Instant::now());
    }

    pub(super) fn is_alive(&self) -> bool {
        self.state()
            .last_beat
            .is_some_and(|beat| beat.elapsed() < ALIVE_WITHIN)
    }

    pub(super) fn readiness(&self) -> Result<(), NotReady> {
        let state = self.state();
        let rules = state.rules();
        match (&state.node, rules) {
            (None, Ok(())) => match &state.pod_start.hindrance {
                Some(hindrance) => Err(NotReady(format!(
                    "the rules are written, but pods that start are open until theirs are: {hindrance}"
                ))),
                None => Ok(()),
            },
            (None, rules) => rules,
            (Some(trouble), Ok(())) => Err(NotReady(format!(
                "the rules are written, but this node does not enforce them: {trouble}"
            ))),
            (Some(trouble), Err(NotReady(reason))) => Err(NotReady(format!(
                "{reason}; and this node would not enforce them: {trouble}"
            ))),
        }
    }
}

impl State {
    /// Whether the rules in the kernel are those that they should be.
    fn rules(&self) -> Result<(), NotReady> {
        if let Some(failure) = &self.failure {
            let kept = if self.lost {
                "and another program has deleted the rules before it"
            } else if self.ever_committed {
                "the rules before it stay in force"
            } else {
                "no rules are written yet"
            };
            return Err(NotReady(format!(
                "the last change could not be written to nftables, {kept}: {failure}"
            )));
        }
        if self.lost {
            return Err(NotReady(
                "another program has deleted the rules; they are being written anew".to_owned(),
            ));
        }
        if self.ever_committed {
            return Ok(());
        }
        let awaited: Vec<String> = self
            .awaited
            .iter()
            .map(|(what, trouble)| {
                trouble
                    .as_ref()
                    .map_or_else(|| what.clone(), |t| format!("{what} ({t})"))
            })
            .collect();
        Err(NotReady(if awaited.is_empty() {
            "the first rules are being written".to_owned()
        } else {
            format!(
                "no rules are written before everything is known; waiting for: {}",
                awaited.join("; ")
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(health: &Health) -> String {
        health
            .readiness()
            .map_or_else(|reason| reason.to_string(), |()| "ready".to_owned())
    }

    #[test]
    fn readiness_says_what_is_awaited() {
        let health = Health::default();
        health.waiting_for("pods", None);
        health.waiting_for("namespaces", Some("connection refused".to_owned()));
        assert_eq!(
            reason(&health),
            "no rules are written before everything is known; waiting for: namespaces (connection refused); pods"
        );
        health.has_arrived("pods");
        health.has_arrived("namespaces");
        assert_eq!(reason(&health), "the first rules are being written");
        health.commit_failed("no nft");
        assert_eq!(
            reason(&health),
            "the last change could not be written to nftables, no rules are written yet: no nft"
        );
        health.committed();
        assert_eq!(reason(&health), "ready");
        health.table_lost();
        assert!(reason(&health).starts_with("another program has deleted the rules"));
        health.commit_failed("no nft");
        assert!(reason(&health).contains("and another program has deleted"));
        health.committed();
        // Being out of reach of the API server later on changes nothing in the kernel.
        health.waiting_for("pods", Some("connection refused".to_owned()));
        assert_eq!(reason(&health), "ready");
    }

    #[test]
    fn a_node_that_cannot_enforce_is_not_ready() {
        let health = Health::default();
        health.examined(Some("no hooks".to_owned()));
        assert_eq!(
            reason(&health),
            "the first rules are being written; and this node would not enforce them: no hooks"
        );
        health.committed();
        assert_eq!(
            reason(&health),
            "the rules are written, but this node does not enforce them: no hooks"
        );
        health.examined(None);
        assert_eq!(reason(&health), "ready");
    }

    #[test]
    fn what_was_asked_for_and_cannot_be_keeps_from_being_ready() {
        let health = Health::default();
        health.committed();
        let standing = |hindrance: Option<&str>, remark: Option<&str>| Standing {
            hindrance: hindrance.map(str::to_owned),
            remark: remark.map(str::to_owned),
            ..Standing::default()
        };
        health.set_pod_start(standing(None, Some("no socket")));
        assert_eq!(reason(&health), "ready");
        assert_eq!(health.remark().as_deref(), Some("no socket"));
        health.set_pod_start(standing(Some("no ranges"), None));
        assert!(reason(&health).ends_with("until theirs are: no ranges"));
        health.set_pod_start(Standing::default());
        assert_eq!((reason(&health).as_str(), health.remark()), ("ready", None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_is_not_alive() {
        let health = Health::default();
        assert!(!health.is_alive());
        health.beat();
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(health.is_alive());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!health.is_alive());
    }
}
