//! Compiles Kubernetes `NetworkPolicy` objects into an nftables ruleset.
//!
//! Kubernetes' words come in, nft's words go out:
//!
//! ```text
//! JSON object ── decode ──→ model ── compile ──→ Ruleset ── text / json ──→ nft
//!                             │         ▲
//!                             ├─ index ─┘          (the same, incrementally, one event at a time)
//!                             └─ verdict           (judges a flow straight from the model, never from the Ruleset)
//! ```
//!
//! The crate is pure: no I/O, no clock, no process, no Kubernetes client. Equal input gives equal bytes.

pub mod compile;
pub mod decode;
pub mod index;
pub mod model;
pub mod ruleset;
pub mod verdict;
