//! The audit log: every dropped flow, with both ends and the reason.
//!
//! ```text
//! kernel ── NFLOG ──→ kernel::reader (a thread) ── packet, fold ──→ Sighting ──→ attribution (the agent's state,
//!                                                                                   verdict) ──→ FlowEvent
//!                                                                                                   │
//!                                      stdout, file, unix socket ←── output (a thread) ←── format ←─┘
//! ```

pub mod event;
pub mod format;
pub mod packet;
pub mod reading;
pub mod sighting;
