//! What agents do beside policy: how pods start, what becomes of connections, who may bear which source.

use netpol_tests::helm::render;
use netpol_tests::kubernetes::{Cluster, Node};

use crate::enforcement::{Enforced, await_rollout};
use crate::stage::{Outcome, text};

/// How the agents protect their nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Nothing is said: pods wait for their rules where the runtime lets them, and are closed until then.
    Ordinary,
    /// Pods are closed until they are programmed; the runtime starts them when it likes.
    WithoutGate,
    /// Pods are open until they are programmed, connections stay as they are, and every source is believed.
    Off,
}

impl Protection {
    /// The arguments of an agent that is a process outside of the node's file system.
    pub(crate) fn arguments(self, node: &Node) -> Vec<String> {
        let socket = format!("--nri-socket={}", node.file("/run/nri/nri.sock").display());
        let words: &[&str] = match self {
            Self::Ordinary => &[&socket],
            Self::WithoutGate => &["--pod-start=closed", "--nri-socket=off"],
            Self::Off => &[
                "--pod-start=open",
                "--nri-socket=off",
                "--existing-connections=keep",
                "--source-guard=off",
            ],
        };
        words.iter().map(|&word| word.to_owned()).collect()
    }

    /// The same as values of the chart.
    fn values(self) -> &'static [&'static str] {
        match self {
            Self::Ordinary => &[],
            Self::WithoutGate => &["podStart=closed", "nri.socket=off"],
            Self::Off => &[
                "podStart=open",
                "nri.socket=off",
                "existingConnections=keep",
                "sourceGuard=off",
            ],
        }
    }
}

impl Enforced {
    /// Starts all agents anew, with this protection.
    pub(crate) fn protect(&mut self, cluster: &Cluster, protection: Protection) -> Outcome {
        match self {
            Self::Process(_, current) => {
                *current = protection;
                self.replace(cluster).map_err(text)
            }
            Self::DaemonSet => {
                let manifest = render(protection.values())?;
                cluster.apply(&manifest).map_err(text)?;
                await_rollout(cluster).map_err(text)
            }
        }
    }
}
