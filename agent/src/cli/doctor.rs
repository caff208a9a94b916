//! `netpol doctor`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use policy_compiler::model::Name;

use super::pod_start::PodStartArguments;
use super::{Failure, chosen};
use crate::doctor::{
    ClusterQuestions, Finding, Level, PodStartQuestions, count, examine, examine_cluster, json,
    text,
};
use crate::source;

const AFTER_HELP: &str = "\
Examples:
  On a node, as root:
    netpol doctor
  With the rights and the clock of the cluster, as the agent would use it:
    netpol doctor --node-name node-a --kubeconfig /etc/netpol/kubeconfig
  In the agent's pod:
    kubectl -n kube-system exec POD -- netpol doctor
  As a privileged init container, for pods on a bridge:
    netpol doctor --enable-bridge-netfilter --no-cluster --exit-zero
  Only what needs to be done:
    netpol doctor -o json | jq -r '.findings[] | select(.level != \"ok\") | .advice'

One line is printed for each finding: ok, warning or error, what was found, and
what to do about it. An error means that no policy is enforced, or that packets
pass which nobody judges. Nothing is changed, but by --enable-bridge-netfilter.

Exit codes: 0 no errors, or --exit-zero; 1 errors; 2 wrong usage.
Needs root or CAP_NET_ADMIN, in the node's own network namespace.";

/// Say whether policies can be enforced on this node, and what to do if not
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Doctor {
    #[command(flatten)]
    cluster: Questions,

    #[command(flatten)]
    pod_start: PodStartArguments,

    /// Show packets on bridges to netfilter, if pods hang on one and they are not: sets
    /// net.bridge.bridge-nf-call-iptables and -ip6tables to 1
    #[arg(long)]
    enable_bridge_netfilter: bool,

    /// End with 0 also where there are errors, so that an agent behind an init container starts all the same
    #[arg(long)]
    exit_zero: bool,

    /// How findings are printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    output: Format,
}

/// The cluster, and the node's place in it.
#[derive(Debug, Args)]
struct Questions {
    /// Name of this node, as in spec.nodeName of its pods
    #[arg(long, env = "NODE_NAME", value_name = "NAME", value_parser = Name::parse)]
    node_name: Option<Name>,

    /// Ask the cluster of this kubeconfig [default: the one this runs in as a pod, then $KUBECONFIG]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Look at the node only
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    no_cluster: bool,

    /// The agent runs with --kubernetes-events, which needs further rights
    #[arg(long)]
    kubernetes_events: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One line for each finding
    Text,
    /// One document
    Json,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<String, Failure> {
        let mut findings = examine(self.enable_bridge_netfilter).await;
        let pod_start = self.pod_start.questions();
        findings.extend(pod_start.look());
        if !self.cluster.no_cluster {
            findings.extend(self.cluster.examine(pod_start).await);
        }
        let output = match self.output {
            Format::Text => text(&findings),
            Format::Json => json(&findings),
        };
        match count(&findings, Level::Error) {
            0 => Ok(output),
            _ if self.exit_zero => Ok(output),
            _ => Err(Failure::Found(output)),
        }
    }
}

impl Questions {
    async fn examine(&self, pod_start: PodStartQuestions) -> Vec<Finding> {
        let chosen = chosen::cluster(self.kubeconfig.as_deref(), self.context.as_deref());
        let Some(config) = chosen else {
            let places = pod_start.without_node();
            return [Finding::no_cluster()].into_iter().chain(places).collect();
        };
        let questions = ClusterQuestions {
            node: self.node_name.clone(),
            writes_events: self.kubernetes_events,
            pod_start,
        };
        match source::connect(&config).await {
            Ok(client) => examine_cluster(&client, &questions).await,
            Err(error) => vec![Finding::unusable_cluster(&error)],
        }
    }
}
