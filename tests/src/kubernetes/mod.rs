//! A real Kubernetes cluster of two nodes, in namespaces of this machine.
//!
//! ```text
//!   pods (agnhost)            pods (agnhost)
//!      │ CNI: bridge or ptp      │
//!   node-a                    node-b                        control
//!   containerd, kubelet,      containerd, kubelet,          etcd, kube-apiserver, controller manager,
//!   kube-proxy                kube-proxy                    scheduler; and whoever comes from outside
//!   172.30.0.11               172.30.0.12                   172.30.0.100
//!        └──────────────── wire ───┴──────────────────────────┘
//! ```
//!
//! All programs are the real ones, built from their Go modules the first time (`tests/control-plane/build.sh cluster`);
//! only `runc` comes from the system. Dual stack; each node routes the other's pod range. Nothing is in the machine's own
//! network, and nothing listens in it.
//!
//! A node is a tree of processes in namespaces of its own for processes, mounts and network: what it mounts and writes
//! is gone with its last process, and all of them are killed with the first, also when the test program is. What is
//! left then, a temporary folder and empty control groups, the next cluster removes.

mod alone;
mod command;
mod config;
mod conversation;
mod error;
mod image;
pub mod leftovers;
mod network;
mod node;
mod numbered;
mod request;
mod usage;
mod workload;

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

pub use alone::LoneNode;
pub use command::wait_for;
pub use conversation::Conversation;
pub use error::ClusterError;
pub use image::{AGNHOST, GAP_SENDER, PAUSE, netpol_image};
pub use node::{IMPORT, Node};
pub use numbered::{Hammer, Heard, Receiver};
pub use request::{Reply, Transport, inside, knock, request};
pub use workload::idle_deployment;

use crate::control_plane::{self, ControlPlane, program};
use crate::lab::{NODES, Netns, NodeSpec, OUTSIDE, SERVICES};
use network::Network;
use node::Credentials;

/// What connects the pods of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cni {
    /// One bridge for all of them, which shows its packets to netfilter.
    Bridge,
    /// A routed link for each.
    Ptp,
}

/// How kube-proxy translates the addresses of Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// A table of its own.
    Nftables,
    /// By the `iptables` program.
    Iptables,
}

impl fmt::Display for Cni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge",
            Self::Ptp => "ptp",
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        })
    }
}

/// Which parts a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What connects the pods of a node.
    pub cni: Cni,
    /// How kube-proxy works.
    pub proxy: Proxy,
}

/// A running cluster. Everything ends with it.
pub struct Cluster {
    // Dropped in this order: the nodes end before what they talk to, the folder goes last.
    nodes: Vec<Node>,
    control_plane: ControlPlane,
    control: Netns,
    /// Held for what is plugged into it.
    _wire: Netns,
    binaries: PathBuf,
    directory: TempDir,
}

impl Cluster {
    /// Builds the programs if need be, starts everything, and waits until both nodes are ready for pods.
    pub fn start(options: Options) -> Result<Self, ClusterError> {
        let binaries = program::build(Some("cluster"))?;
        leftovers::sweep();
        let directory = leftovers::folder()?;
        let Network {
            wire,
            control,
            nodes: networks,
        } = Network::build()?;
        let archives = image::archives(&binaries)?;
        let (control_plane, nodes) = std::thread::scope(|scope| {
            let starting = NODES.into_iter().zip(networks).map(|(spec, netns)| {
                let folder = directory.path().join(spec.name);
                let (binaries, archives) = (&binaries, &archives);
                scope.spawn(move || {
                    let mut node = Node::start(spec, netns, binaries, folder, options)?;
                    node.wait_for_containerd()?;
                    for archive in archives {
                        node.import(archive)?;
                    }
                    Ok(node)
                })
            });
            let starting: Vec<_> = starting.collect();
            let control_plane = start_control_plane(&control, directory.path());
            let nodes = starting.into_iter().map(|thread| joined(thread.join()));
            (control_plane, nodes.collect::<Result<_, _>>())
        });
        let (nodes, control_plane) = (nodes?, control_plane?);
        let mut cluster = Self {
            nodes,
            control_plane,
            control,
            _wire: wire,
            binaries,
            directory,
        };
        cluster.join(options)?;
        Ok(cluster)
    }

    fn join(&mut self, options: Options) -> Result<(), ClusterError> {
        let proxy = self.control_plane.kubeconfig_of("system:kube-proxy", &[])?;
        for node in &mut self.nodes {
            let spec = *node.spec();
            self.control_plane.create(&object_of(&spec))?;
            let user = format!("system:node:{}", spec.name);
            let names = [
                spec.name.to_owned(),
                spec.v4.to_string(),
                spec.v6.to_string(),
            ];
            let credentials = Credentials {
                kubelet: self.control_plane.kubeconfig_of(&user, &["system:nodes"])?,
                proxy: proxy.clone(),
                authority: self.control_plane.directory().join("ca.crt"),
                serving: self
                    .control_plane
                    .serving_certificate(spec.name, names.into())?,
            };
            node.join(&credentials, options)?;
        }
        self.wait_ready()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            for node in self.nodes.drain(..) {
                scope.spawn(|| drop(node));
            }
        });
    }
}

fn start_control_plane(control: &Netns, folder: &Path) -> Result<ControlPlane, ClusterError> {
    let (services, _) = SERVICES;
    // The first address of the range is that of the API server's own Service.
    let service = Ipv4Addr::from(u32::from(services.network()) + 1);
    let (address, _) = OUTSIDE;
    let mut options = control_plane::Options::new(control.path()).listening_on(address.into());
    options.names = vec![service.to_string(), "kubernetes".to_owned()];
    options.runs_pods = true;
    options.parent = Some(folder.to_owned());
    Ok(ControlPlane::start(&options)?)
}

fn joined<T>(result: std::thread::Result<Result<T, ClusterError>>) -> Result<T, ClusterError> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn object_of(node: &NodeSpec) -> Value {
    let ranges = node.pod_ranges().map(|range| range.to_string());
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name},
        "spec": {"podCIDR": ranges[0], "podCIDRs": ranges},
    })
}
