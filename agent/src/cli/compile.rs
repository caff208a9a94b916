//! `netpol compile`

use clap::{Args, ValueEnum};
use policy_compiler::compile::compile_with;
use policy_compiler::model::{Name, NodeScope};
use policy_compiler::ruleset::DropLog;

use super::form::Form;
use super::input::{Input, Loaded, find_pod};
use super::pod_name::{Namespace, PodName};
use super::{Failure, remark, summary};

const AFTER_HELP: &str = "\
Examples:
  Rules for all pods, as if they ran on one node:
    netpol compile -f shop.yaml
  What the agent on node-a would load:
    netpol compile -f shop.yaml --node node-a
  Only what concerns one pod, in the cluster that kubectl talks to:
    netpol compile --pod shop/db
  Which pods are isolated, and by which policies:
    netpol compile -f shop.yaml -o summary
  A chart, before it is installed:
    helm template . | netpol compile -f -
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

impl Compile {
    pub(super) async fn run(self, form: Form) -> Result<String, Failure> {
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
        let scope = self.node.map_or(NodeScope::AllNodes, NodeScope::Node);
        if let Output::Summary = self.output {
            return Ok(summary::summary(&manifests, &scope, key.as_ref()));
        }
        let log = (!self.no_flow_log).then(DropLog::default);
        let mut ruleset = compile_with(snapshot, &scope, log.as_ref());
        if let Some(pod) = pod {
            ruleset = ruleset.only_pod(pod);
        }
        if ruleset.maps.values().all(|map| map.elements.is_empty()) {
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
