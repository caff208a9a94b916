//! Where objects come from: the API server, or a folder of manifests.
//!
//! A source is a stream of [`Update`]s that never ends and never fails: it reports trouble to [`Telemetry`] and goes on.
//! What it has said stays true until it says otherwise, so whoever is out of reach of the API server keeps its rules.

mod client;
mod faults;
mod folder;
mod list;
mod object;
mod relist;
mod trouble;
mod watch;

use policy_compiler::index::Event;

pub use client::{ClientError, ClusterConfig, connect, is_in_cluster};
pub(crate) use client::{explain, in_words};
pub use folder::watch_folder;
pub use list::list;
pub use policy_compiler::decode::Kind;
pub use watch::watch;

#[cfg(doc)]
use crate::telemetry::Telemetry;

/// What a source says.
#[derive(Clone, Debug)]
pub enum Update {
    /// An object came, changed or went. Objects come in any order: a pod perhaps before its namespace.
    Change(Event),
    /// Everything there was at the start has been said. Said once.
    Synced,
}
