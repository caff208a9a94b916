//! A small cluster network out of network namespaces, with real packets.
//!
//! ```text
//!   pod  pod  pod        pod  pod             outside (172.30.0.100, and every address a row names)
//!     \   |   /            \   /                  │
//!      node-a              node-b                 │            hosts attached later, e.g. a control plane
//!    172.30.0.11         172.30.0.12              │                  │
//!         └───────── wire (a bridge of its own) ──┴──────────────────┘
//! ```
//!
//! Each box is a network namespace with a thread inside ([`Netns`]); probes are futures on the thread of their sender.
//! Both families everywhere. How pods hang on nodes is the [`Topology`].
//!
//! What real clusters do, and the lab does too:
//!
//! * **Services** are translated on the node where the connection starts, by rules of the node's own table
//!   (`inet lab_services`) at the places and priorities kube-proxy uses. A policy therefore sees backends.
//! * **Node ports** are masqueraded on the entry node, whatever node the backend is on
//!   (`externalTrafficPolicy: Cluster`). Masquerading is done after the forward hook: the entry node's rules see the
//!   true client, the backend's node sees the entry node.
//! * **A pod that reaches itself through its Service** is masqueraded too, or it would drop the answer.
//! * **Pods leave the cluster with their node's address**: masqueraded unless the destination is a pod or, where nodes
//!   route pod ranges, a node. Behind the overlay nodes do not know each other's pods by address, so there
//!   traffic to other nodes is masqueraded as well, as flannel does it.
//! * **The outside host has routes to the pod ranges** through the nodes, as routers in front of a cluster with routed
//!   pods have. The rows need them: only so can an outside client reach a pod by its own address and be judged by it.
//!   It has a route to the Services through node-a, as where cluster addresses are announced by BGP; such clients
//!   are masqueraded like those of node ports.
//! * `rp_filter` is 2 on nodes (what systemd sets), 1 on the pods' interfaces where pods are routed (what Calico sets).
//! * `br_netfilter` shows bridged packets to iptables and nftables on every node, as kubelets require.
//!
//! Duplicate address detection is off: there is nothing to wait for after an address was added.

use std::io::Write as _;

mod agent;
mod agents;
mod binary;
mod build;
mod cluster;
mod craft;
mod error;
mod links;
pub mod matrix;
mod netns;
mod packet;
mod pods;
mod probe;
mod probing;
mod receive;
mod rules;
mod sender;
mod services;
mod spec;
mod topology;
mod tracked;

pub use agent::{AGENT_LISTEN, Agent, http_get, manifests};
pub use binary::{netpol_binary, sources_newer_than};
pub use cluster::{Host, Lab};
pub use craft::{
    Ipv4Header, Ipv6Header, arp_reply, frame, neighbour_advertisement, own_mac,
    router_advertisement, send_frames, send_raw, tcp_syn, udp_request,
};
pub use error::LabError;
pub use links::wait_for_links;
pub use netns::Netns;
pub use nix::sys::signal::Signal;
pub use packet::{IpProtocol, SctpChunk, SctpInit, Token};
pub use probe::{Expect, Outcome, Probe, Transport};
pub use spec::{
    LabSpec, NODES, NodeSpec, OUTSIDE, Place, PodSpec, SERVICES, ServicePort, ServiceSpec,
};
pub use topology::Topology;
pub use tracked::{Tracked, track};

/// A wait that has an end is not begun anew by the kernel when a signal comes between.
pub fn uninterrupted<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Whether tests that need network namespaces can run. Without root it panics, so that nobody takes a skipped test for a
/// passed one, unless `NETPOL_SKIP_ROOT_TESTS=1` says that this is known; then it prints a line and says no.
///
/// # Panics
///
/// Without root and without that variable.
pub fn privileged(test: &str) -> bool {
    if netns::is_root() {
        return true;
    }
    assert!(
        std::env::var("NETPOL_SKIP_ROOT_TESTS").is_ok_and(|v| v == "1"),
        "{test}: {}",
        LabError::Privilege
    );
    // Past the test harness, which shows what passing tests print to nobody.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {test}: not root, and NETPOL_SKIP_ROOT_TESTS=1"
    );
    false
}
