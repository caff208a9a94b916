//! Which agents' logs are read.

use clap::Args;
use policy_compiler::model::Name;

use super::super::Failure;
use super::super::input::Cluster;
use super::arguments;
use crate::flow_log::reading::Merge;
use crate::flow_log::reading::agents;
use crate::flow_log::reading::filter::Filter;

/// Where agents are ordinarily.
const NAMESPACE: &str = "kube-system";
const SELECTOR: &str = "app.kubernetes.io/name=netpol";

/// The agents of a cluster.
#[derive(Debug, Args)]
#[command(next_help_heading = "Agents of a cluster")]
pub(super) struct Agents {
    #[command(flatten)]
    cluster: Cluster,

    /// Namespace of the agents' pods [default: kube-system]
    #[arg(long = "agents-namespace", value_name = "NAMESPACE", value_parser = arguments::name, conflicts_with = "inputs")]
    namespace: Option<Name>,

    /// Labels of the agents' pods [default: app.kubernetes.io/name=netpol]
    #[arg(
        long = "agents-selector",
        value_name = "LABELS",
        conflicts_with = "inputs"
    )]
    selector: Option<String>,

    /// Of each agent's log read only the last N lines, its other words counted in
    #[arg(long, value_name = "N", conflicts_with = "inputs")]
    tail: Option<u32>,
}

impl Agents {
    /// Whether they were asked for.
    pub(super) fn are_given(&self) -> bool {
        self.cluster.is_given()
            || self.namespace.is_some()
            || self.selector.is_some()
            || self.tail.is_some()
    }

    /// Opens the logs of all agents that may have what is wanted.
    pub(super) async fn open(self, wanted: &Filter, follow: bool) -> Result<Merge, Failure> {
        let agents = agents::Agents {
            namespace: self.namespace.map_or_else(|| Name::parse(NAMESPACE), Ok)?,
            selector: self.selector.unwrap_or_else(|| SELECTOR.to_owned()),
            nodes: wanted.nodes.clone(),
            since: wanted.since,
            tail: self.tail,
            follow,
        };
        Ok(agents.open(self.cluster.connect().await?).await?)
    }
}
