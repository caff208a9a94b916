//! `netpol explain`

use clap::Args;
use policy_compiler::verdict::{Endpoint, Flow, Judge};

use super::endpoint::{End, Port, give_addresses};
use super::form::Form;
use super::input::{Input, Loaded};
use super::pod_name::{Namespace, PodName};
use super::{Failure, remark};

const AFTER_HELP: &str = "\
Examples:
  Between pods, as manifests say:
    netpol explain -f shop.yaml --from shop/web --to shop/db --port tcp/5432
  From outside, or from a node:
    netpol explain -f shop.yaml --from 192.0.2.7 --to shop/web --port tcp/http
    netpol explain -f shop.yaml --from node:node-a/172.30.0.11 --to shop/web --port icmp
  In the cluster that kubectl talks to, pods of one namespace:
    netpol explain -n shop --from web --to db --port tcp/sql

The connection is judged as the node's firewall sees it: where a Service was
addressed, give the pod behind it, and that pod's port.";

/// Say whether a connection is allowed, which rule allows it, or who forbids it and which rules came near
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Explain {
    #[command(flatten)]
    input: Input,

    /// Who opens the connection: NAMESPACE/POD, an IP address, or node:NAME[/ADDRESS] for a process of a node
    #[arg(long, value_name = "END", value_parser = End::parse)]
    from: End<PodName>,

    /// Who is connected to: NAMESPACE/POD, an IP address, or node:NAME[/ADDRESS]
    #[arg(long, value_name = "END", value_parser = End::parse)]
    to: End<PodName>,

    /// Protocol and destination port: tcp/80, udp/53, sctp/9000, a port name of the pod as tcp/http, or icmp
    #[arg(long, value_name = "PORT", value_parser = Port::parse)]
    port: Port,

    #[command(flatten)]
    namespace: Namespace,
}

impl Explain {
    pub(super) async fn run(self, form: Form) -> Result<String, Failure> {
        let Loaded {
            manifests,
            namespace,
        } = self.input.load(form).await?;
        let namespace = self.namespace.or(namespace);
        let (from, to) = (self.from.within(&namespace), self.to.within(&namespace));
        let mut snapshot = manifests.snapshot;
        let given = give_addresses(&mut snapshot);
        for (pod, address) in given
            .iter()
            .filter(|(pod, _)| [&from, &to].contains(&&End::Pod(pod.clone())))
        {
            remark(&format!(
                "note: pod {pod} has no address yet (status.podIPs); judged as if it had {address}"
            ));
        }
        let transport = self.port.transport(&to, &snapshot)?;
        let pairs = pairs(&from.endpoints(&snapshot)?, &to.endpoints(&snapshot)?);
        if pairs.is_empty() {
            let problem = "the two ends have no address of the same family: there can be no connection between them";
            return Err(Failure::because(problem.to_owned()));
        }
        let judge = Judge::new(&snapshot);
        let answers = pairs.into_iter().map(|(source, destination)| {
            let family = if source.address().is_ipv4() {
                "IPv4"
            } else {
                "IPv6"
            };
            let flow = Flow {
                source,
                destination,
                transport,
            };
            (family, judge.judge(&flow).to_string())
        });
        let mut answers: Vec<(&str, String)> = answers.collect();
        answers.dedup_by(|second, first| second.1 == first.1);
        Ok(match &answers[..] {
            [(_, answer)] => format!("{answer}\n"),
            answers => {
                let each = answers
                    .iter()
                    .map(|(family, answer)| format!("{family}: {answer}"));
                format!("{}\n", each.collect::<Vec<_>>().join("\n"))
            }
        })
    }
}

/// The two ends in each address family that both have.
fn pairs(sources: &[Endpoint], destinations: &[Endpoint]) -> Vec<(Endpoint, Endpoint)> {
    let same_family = |a: &Endpoint, b: &Endpoint| a.address().is_ipv4() == b.address().is_ipv4();
    let with = |source: &Endpoint| {
        destinations
            .iter()
            .find(|d| same_family(source, d))
            .cloned()
    };
    sources
        .iter()
        .filter_map(|source| Some((source.clone(), with(source)?)))
        .collect()
}
