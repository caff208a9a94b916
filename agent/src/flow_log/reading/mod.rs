//! Reading a flow log back: lines of Hubble's `ExportEvent`, netpol's own and those that Cilium exports.
//!
//! ```text
//! file, standard input, socket ── source (a thread each) ─┬─ lines, record ──→ merge (by time) ──→ whoever shows them
//! pods' logs, by the API server ── agents (a task each) ──┘
//! ```

pub mod agents;
pub mod filter;
mod lines;
mod merge;
mod order;
pub mod record;
mod source;
mod tail;

pub use merge::{Item, Merge};
pub use source::{Entry, Input};

use std::io;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// A file that is not there, is a folder, may not be read…
    #[error("flow log {input}: cannot be read: {source}")]
    Read {
        /// Which.
        input: Input,
        /// The system's words.
        source: io::Error,
    },
    /// Nobody listens at a socket, or may not be talked to.
    #[error(
        "flow log {input}: cannot connect: {source}; is the agent running with its flow log at this socket?"
    )]
    Connect {
        /// Which.
        input: Input,
        /// The system's words.
        source: io::Error,
    },
    /// The system does not start a thread.
    #[error("flow log {input}: cannot start a thread to read it: {source}")]
    Thread {
        /// Which.
        input: Input,
        /// The system's words.
        source: io::Error,
    },
}
