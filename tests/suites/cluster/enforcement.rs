//! How the agent comes onto the nodes.

use netpol_tests::kubernetes::{Cluster, ClusterError};
use netpol_tests::lab::{AGENT_LISTEN, Agent};

const RBAC: &str = include_str!("../../../deploy/rbac.yaml");
const ACCOUNT: &str = "system:serviceaccount:kube-system:netpol";

/// Who enforces policies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Enforcement {
    /// The binary under test, as a process in each node's network.
    Process,
}

/// The agents, while they run.
pub(crate) struct Enforced {
    pub(crate) agents: Vec<Agent>,
}

impl Enforcement {
    /// Starts the agents and waits until they enforce.
    pub(crate) fn start(self, cluster: &Cluster) -> Result<Enforced, ClusterError> {
        match self {
            Self::Process => {
                cluster.apply(RBAC)?;
                let kubeconfig = cluster.control_plane().kubeconfig_of(ACCOUNT, &[])?;
                let arguments = ["--kubeconfig".to_owned(), kubeconfig.display().to_string()];
                let mut agents = Vec::new();
                for node in cluster.nodes() {
                    let log = node.folder().join("netpol.log");
                    let name = node.spec().name;
                    agents.push(Agent::start(
                        name,
                        node.netns(),
                        AGENT_LISTEN,
                        &arguments,
                        log,
                    )?);
                }
                for (agent, node) in agents.iter_mut().zip(cluster.nodes()) {
                    agent.wait_ready(node.netns())?;
                }
                Ok(Enforced { agents })
            }
        }
    }
}
