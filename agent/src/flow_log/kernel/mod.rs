//! The kernel's side: the packets it hands on, and its counters.

pub mod counters;
pub mod decode;
mod error;
pub mod nflog;
mod orders;
mod outbox;
pub mod reader;
mod totals;

pub use error::NflogError;
pub use outbox::Message;
pub use totals::ReaderTotals;
