//! What a pod belongs to.

use std::fmt;
use std::sync::Arc;

/// The workload that made a pod, for reports; policy does not look at it.
///
/// A pod's controller is often only a step: a `ReplicaSet` stands for its Deployment and a Job for its `CronJob` where
/// their names show it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// `Kind/name`, in one allocation that clones share: there may be hundreds of thousands of pods.
    text: Arc<str>,
}

impl Workload {
    /// A workload of this kind (`Deployment`) and name.
    pub fn new(kind: &str, name: &str) -> Self {
        Self {
            text: format!("{kind}/{name}").into(),
        }
    }

    /// `Deployment`
    pub fn kind(&self) -> &str {
        self.text.split_once('/').unwrap_or_default().0
    }

    /// Its name, in the pod's namespace.
    pub fn name(&self) -> &str {
        self.text.split_once('/').unwrap_or_default().1
    }
}

impl fmt::Display for Workload {
    /// `Deployment/web`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
