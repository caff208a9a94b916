//! What agents do beside policy: how pods start, what becomes of connections, who may bear which source.

use netpol_tests::helm::render;
use netpol_tests::kubernetes::{Cluster, Node, Proxy};

use crate::enforcement::{Enforced, await_rollout};
use crate::stage::{Outcome, Stage, text};
use crate::{Scenario, connections, forged, pod_start};

pub(crate) const SCENARIOS: &[Scenario] = &[("without protection all of that passes", without)];

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

/// What other scenarios find is the agents' doing: where they are told not to, all is otherwise. Once for each pod network.
fn without(stage: &mut Stage) -> Outcome {
    if stage.options.proxy == Proxy::Nftables {
        println!("  left to the cluster with the other proxy");
        return Ok(());
    }
    stage.enforced.protect(&stage.cluster, Protection::Off)?;
    let outcome = connections::kept(stage)
        .and_then(|()| forged::pass(stage))
        .and_then(|()| pod_start::first_packets_pass(stage));
    stage
        .enforced
        .protect(&stage.cluster, Protection::Ordinary)?;
    outcome
}
