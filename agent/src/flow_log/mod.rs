//! The audit log: every dropped flow, with both ends and the reason.
//!
//! ```text
//! kernel ── NFLOG ──→ kernel::reader (a thread) ── packet, fold ──→ Sighting ──→ attribution (the agent's state,
//!                                                                                   verdict) ──→ FlowEvent
//!                                                                                                   │
//!                                      stdout, file, unix socket ←── output (a thread) ←── format ←─┘
//! ```

mod accounts;
pub mod attribution;
pub mod books;
pub mod event;
pub mod fold;
pub mod format;
pub mod kernel;
pub mod output;
pub mod packet;
pub mod pod_events;
pub mod reading;
mod recorder;
pub mod revoked;
pub mod sighting;
pub mod words;

/// Bytes by which the agent grows at most for packets that are dropped, however many and whoever sends them. Without what
/// follows the cluster's objects: the history of pods, and series of metrics.
pub const MEMORY: usize = kernel::reader::MEMORY + output::MEMORY;

pub use format::Format;
pub use recorder::{FlowLog, Occurrence, Settings};
pub use revoked::Cut;
