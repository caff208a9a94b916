//! `netpol compile`

use clap::{Args, ValueEnum};
use policy_compiler::compile::{Protection, compile_protected};
use policy_compiler::model::{Name, NodeScope, Snapshot};
use policy_compiler::ruleset::{DropLog, InterfacePattern};

use super::form::Form;
use super::input::{Input, Loaded, find_pod};
use super::pod_name::{Namespace, PodName};
use super::pod_start::Places;
use super::{Failure, remark, summary};

const AFTER_HELP: &str = "\
Examples:
  Rules for all pods, as if they ran on one node:
    netpol compile -f shop.yaml
  What the agent on node-a would load:
    netpol compile -f shop.yaml --node node-a --whole-table
  Only what concerns one pod, in the cluster that kubectl talks to:
    netpol compile --pod shop/db
  Which pods are isolated, and by which policies:
    netpol compile -f shop.yaml -o summary
  A chart, before it is installed:
    helm template . | netpol compile -f -
  With what keeps new pods closed until their rules are there:
    netpol compile -f shop.yaml --pod-start closed --pod-cidr 10.244.0.0/16
  Let nft check the rules (as root; nothing is changed):
    netpol compile -f shop.yaml | nft -c -f -

The kernel is never touched. Without -f the cluster of the kubeconfig is read.";

/// Show the nftables rules that policies amount to, without touching the kernel
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Compile {
    #[command(flatten)]
    input: Input,

    /// Only the pods of this node (spec.nodeName)
    #[arg(long, value_name = "NAME", value_parser = Name::parse)]
    node: Option<Name>,

    /// Only this pod
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = PodName::parse)]
    pod: Option<PodName>,

    #[command(flatten)]
    namespace: Namespace,

    /// Without the rules that log what is dropped
    #[arg(long)]
    no_flow_log: bool,

    /// With what is in the agent's table beside the rules of policies: what cuts connections and finds forged sources
    #[arg(long)]
    whole_table: bool,

    /// Interface by which the node reaches others though it is a veth or the bridge of its pods; an agent finds these itself
    #[arg(long, value_name = "NAME", requires = "whole_table")]
    uplink: Vec<InterfacePattern>,

    /// With what keeps pods closed until their rules are written: an agent without the flag adds it once the container
    /// runtime waits
    #[arg(long, value_enum, value_name = "MODE", default_value_t = PodStart::Open)]
    pod_start: PodStart,

    #[command(flatten)]
    places: Places,

    /// What to print
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Nft)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// A script for `nft -f`
    Nft,
    /// The JSON that `nft -j -f` takes
    Json,
    /// A table of pods: isolated or open, by which policies, with how many peers
    Summary,
}

/// What a pod may do before its rules are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PodStart {
    /// Nothing
    Closed,
    /// Everything
    Open,
}

impl Compile {
    /// What the table does beside judging by policies.
    fn protection(&self) -> Result<Protection, Failure> {
        let places = self.places.given();
        if self.pod_start == PodStart::Closed && places.is_none() {
            return Err(Failure::because(
                "--pod-start closed: where are the node's pods? Give --pod-cidr NETWORK or --pod-interface PATTERN",
            ));
        }
        Ok(Protection {
            closed: places.filter(|_| self.pod_start == PodStart::Closed),
            revocable: self.whole_table,
            source_guard: self.whole_table,
            uplinks: self.uplink.iter().cloned().collect(),
        })
    }

    pub(super) async fn run(self, form: Form) -> Result<String, Failure> {
        let protection = self.protection()?;
        let Loaded {
            manifests,
            namespace,
        } = self.input.load(form).await?;
        let snapshot = &manifests.snapshot;
        let namespace = self.namespace.or(namespace);
        let key = self.pod.map(|pod| pod.within(&namespace));
        let pod = key
            .as_ref()
            .map(|key| find_pod(snapshot, key))
            .transpose()?;
        if let (Some(pod), Some(node)) = (pod, &self.node)
            && pod.node.as_ref() != Some(node)
        {
            return Err(Failure::because(format!(
                "pod {} does not run on node {node}",
                pod.key
            )));
        }
        if let Some(node) = &self.node {
            remark_stranger(node, snapshot);
        }
        let scope = self.node.map_or(NodeScope::AllNodes, NodeScope::Node);
        if let Output::Summary = self.output {
            return Ok(summary::summary(&manifests, &scope, key.as_ref()));
        }
        let log = (!self.no_flow_log).then(DropLog::default);
        let mut ruleset = compile_protected(snapshot, &scope, log.as_ref(), &protection);
        if let Some(pod) = pod {
            ruleset = ruleset.only_pod(pod);
        }
        if protection.closed.is_none() && ruleset.maps.values().all(|map| map.elements.is_empty()) {
            let why = match pod {
                Some(pod) => format!("pod {} is not isolated", pod.key),
                None if snapshot.pods.is_empty() => {
                    "there are no pods (a Deployment is none; pods have addresses once they run)"
                        .to_owned()
                }
                None => "no pod is isolated".to_owned(),
            };
            remark(&format!("note: these rules let everything pass: {why}"));
        }
        Ok(match self.output {
            Output::Json => format!("{:#}\n", ruleset.to_json()),
            Output::Nft | Output::Summary => ruleset.to_string(),
        })
    }
}

/// A node that no pod runs on may be mistyped.
fn remark_stranger(node: &Name, snapshot: &Snapshot) {
    let mut nodes = snapshot.pods.values().filter_map(|pod| pod.node.as_ref());
    if let Some(other) = nodes.clone().next()
        && !nodes.any(|name| name == node)
    {
        remark(&format!(
            "note: no pod runs on node {node}; others run on {other}"
        ));
    }
}
