//! The parts of the `netpol` binary: where objects come from, where rules go, and the command line.
//!
//! ```text
//! source (API server, manifests) ──→ enforce (policy-compiler) ──→ dataplane (netlink) ──→ kernel
//!                    └───────────────────┴─── telemetry ──→ http
//! ```

pub mod cli;
pub mod conntrack;
pub mod dataplane;
pub mod doctor;
#[cfg(test)]
mod documents;
pub mod enforce;
pub mod flow_log;
pub mod http;
pub mod manifests;
mod netlink;
pub mod node_lock;
pub mod nri;
pub mod pod_start;
pub mod port_guard;
pub mod revoke;
pub mod source;
pub mod telemetry;
pub mod uplinks;
