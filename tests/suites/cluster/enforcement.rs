//! How the agent comes onto the nodes, and what befalls it there.

use std::path::PathBuf;

use netpol_tests::kubernetes::{Cluster, ClusterError, Node, netpol_image, wait_for};
use netpol_tests::lab::{AGENT_LISTEN, Agent, Signal};

use crate::protection::Protection;

const RBAC: &str = include_str!("../../../deploy/rbac.yaml");
const ACCOUNT: &str = "system:serviceaccount:kube-system:netpol";
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/netpol.yaml");
/// What the manifest makes, as `kubectl` names it.
const DAEMON_SET: [&str; 2] = ["--namespace=kube-system", "daemonset/netpol"];

/// Who enforces policies.
#[derive(Clone, Debug)]
pub(crate) enum Enforcement {
    /// The binary under test, as a process in each node's network.
    Process,
    /// Pods of the project's manifest, with the image in an archive.
    DaemonSet(PathBuf),
}

/// The agents, while they run.
pub(crate) enum Enforced {
    /// One for each node, in the nodes' order, and how they protect them.
    Process(Vec<Agent>, Protection),
    /// Kubernetes looks after them.
    DaemonSet,
}

impl Enforcement {
    /// Pods with the image under test, or, if `NETPOL_AGENTS=processes`, the binary under test, which builds faster.
    pub(crate) fn chosen() -> Result<Self, ClusterError> {
        match std::env::var("NETPOL_AGENTS").as_deref() {
            Ok("processes") => Ok(Self::Process),
            _ => netpol_image().map(Self::DaemonSet),
        }
    }

    /// Starts the agents and waits until they enforce.
    pub(crate) fn start(self, cluster: &Cluster) -> Result<Enforced, ClusterError> {
        match self {
            Self::Process => {
                cluster.apply(RBAC)?;
                let ordinary = Protection::Ordinary;
                let nodes = cluster.nodes().iter();
                let agents = nodes.map(|node| start_process(cluster, node, ordinary));
                let agents = agents.collect::<Result<_, _>>()?;
                Ok(Enforced::Process(agents, ordinary))
            }
            Self::DaemonSet(archive) => {
                cluster.import(&archive)?;
                cluster.kubectl(&["apply", "--filename", MANIFEST])?;
                await_rollout(cluster)?;
                Ok(Enforced::DaemonSet)
            }
        }
    }
}

impl Enforced {
    /// Replaces the agents as an upgrade does: one after the other, each told to end.
    pub(crate) fn replace(&mut self, cluster: &Cluster) -> Result<(), ClusterError> {
        match self {
            Self::Process(agents, protection) => {
                for (node, agent) in cluster.nodes().iter().zip(agents) {
                    agent.stop(Signal::SIGTERM)?;
                    *agent = start_process(cluster, node, *protection)?;
                }
                Ok(())
            }
            Self::DaemonSet => {
                let [namespace, name] = DAEMON_SET;
                cluster.kubectl(&["rollout", "restart", namespace, name])?;
                await_rollout(cluster)
            }
        }
    }

    /// Kills the agents, all at once; they come back.
    pub(crate) fn crash(&mut self, cluster: &Cluster) -> Result<(), ClusterError> {
        match self {
            Self::Process(agents, protection) => {
                for agent in agents.iter_mut() {
                    agent.stop(Signal::SIGKILL)?;
                }
                for (node, agent) in cluster.nodes().iter().zip(agents) {
                    *agent = start_process(cluster, node, *protection)?;
                }
                Ok(())
            }
            Self::DaemonSet => {
                let before = restarts(cluster)?;
                for node in cluster.nodes() {
                    // By the name of the program, in the node's own process namespace.
                    node.run(&["pkill", "-KILL", "-x", "netpol"])?;
                }
                wait_for("agents restarted", crate::stage::SOON, || {
                    let now = restarts(cluster).map_err(|error| error.to_string())?;
                    let are_back = now.iter().zip(&before).all(|(now, before)| now > before);
                    are_back
                        .then_some(())
                        .ok_or_else(|| format!("{now:?} after {before:?}"))
                })?;
                await_rollout(cluster)
            }
        }
    }

    /// What the agent of a node has printed: drops, and its own log.
    pub(crate) fn log(&self, cluster: &Cluster, node: usize) -> Result<String, ClusterError> {
        match self {
            Self::Process(agents, _) => {
                let agent = agents.get(node);
                Ok(agent
                    .map(|agent| agent.flow_lines() + &agent.log())
                    .unwrap_or_default())
            }
            Self::DaemonSet => {
                let name = cluster.nodes()[node].spec().name;
                let field = format!("--field-selector=spec.nodeName={name}");
                let pods = [
                    "get",
                    "pods",
                    "--namespace=kube-system",
                    &field,
                    "--output=name",
                ];
                let pods = cluster.kubectl(&pods)?;
                let pod = pods
                    .lines()
                    .find(|pod| pod.contains("/netpol-"))
                    .unwrap_or_default();
                cluster.kubectl(&["logs", "--namespace=kube-system", pod])
            }
        }
    }
}

fn start_process(
    cluster: &Cluster,
    node: &Node,
    protection: Protection,
) -> Result<Agent, ClusterError> {
    let kubeconfig = cluster.control_plane().kubeconfig_of(ACCOUNT, &[])?;
    let mut arguments = vec!["--kubeconfig".to_owned(), kubeconfig.display().to_string()];
    arguments.extend(protection.arguments(node));
    let log = node.folder().join("netpol.log");
    let name = node.spec().name;
    let mut agent = Agent::start(name, node.netns(), AGENT_LISTEN, &arguments, log)?;
    agent.wait_ready(node.netns())?;
    Ok(agent)
}

pub(crate) fn await_rollout(cluster: &Cluster) -> Result<(), ClusterError> {
    let [namespace, name] = DAEMON_SET;
    cluster
        .kubectl(&["rollout", "status", namespace, name, "--timeout=300s"])
        .map(drop)
}

/// How often each agent's container has been started again.
fn restarts(cluster: &Cluster) -> Result<Vec<u64>, ClusterError> {
    let path = "/api/v1/namespaces/kube-system/pods?labelSelector=app.kubernetes.io/name=netpol";
    let pods = cluster.control_plane().read(path)?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let count =
        |pod: &serde_json::Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    let mut counts: Vec<_> = pods
        .map(|pod| {
            (
                pod["metadata"]["name"].to_string(),
                count(pod).unwrap_or_default(),
            )
        })
        .collect();
    counts.sort();
    Ok(counts.into_iter().map(|(_, count)| count).collect())
}
