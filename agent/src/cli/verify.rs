//! `netpol verify`

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use policy_compiler::compile::{PodPlaces, Protection, compile_protected};
use policy_compiler::model::{Name, NodeScope};
use policy_compiler::ruleset::{Ruleset, TABLE};

use super::connections::ConnectionArguments;
use super::flow_log::{LogArguments, only_log_settings};
use super::form::Form;
use super::input::Input;
use super::pod_start::Places;
use super::source_guard::SourceGuardArguments;
use super::{Failure, remark};
use crate::dataplane::{Dataplane, Found, NetlinkDataplane, NetlinkError};
use crate::manifests::printable;
use crate::pod_start::{self, Mode};
use crate::port_guard;
use crate::uplinks;

const AFTER_HELP: &str = "\
Examples:
  On node-a, as root, against the cluster of a kubeconfig:
    netpol verify --node node-a --kubeconfig /etc/netpol/kubeconfig
  In another network namespace, against manifests:
    nsenter --net=/run/netns/lab netpol verify --node node-a -f lab/

Nothing is changed; the agent undoes such differences by itself. Pods that
change while the objects are read may show as differences: run it again.
Manifests must tell the pods' uids (metadata.uid), as `kubectl get -o yaml`
does, if the agent knows them. Needs root or CAP_NET_ADMIN.

Exit codes: 0 the kernel holds what it should, 1 it does not, or that cannot be
told, 2 wrong usage.";

/// Compare the rules in this node's kernel with what policies amount to, and print the differences
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Verify {
    #[command(flatten)]
    input: Input,

    /// The node whose rules they should be (spec.nodeName) [default: all pods, as if on one node]
    #[arg(long, env = "NODE_NAME", value_name = "NAME", value_parser = Name::parse)]
    node: Option<Name>,

    #[command(flatten)]
    log: LogArguments,

    /// The agent runs with --flow-log off
    #[arg(long, conflicts_with_all = ["flow_log_rate", "flow_log_group"])]
    no_flow_log: bool,

    /// Whether the agent keeps pods closed until their rules are written; `auto` takes either
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pod_start: Mode,

    #[command(flatten)]
    places: Places,

    #[command(flatten)]
    connections: ConnectionArguments,

    #[command(flatten)]
    source_guard: SourceGuardArguments,
}

impl Verify {
    pub(super) async fn run(self, form: Form) -> Result<String, Failure> {
        // Before the cluster is asked for everything it has.
        let mut dataplane = NetlinkDataplane::open().map_err(unreadable)?;
        dataplane.has_table().await.map_err(unreadable)?;
        let manifests = self.input.load(form).await?.manifests;
        let places = self.places().await;
        if places.is_none() && self.pod_start == Mode::Closed {
            return Err(Failure::because(
                "--pod-start closed: where are the node's pods? Give the agent's --pod-cidr or --pod-interface",
            ));
        }
        let node = self.node.clone();
        let scope = node.map_or(NodeScope::AllNodes, NodeScope::Node);
        let log = (!self.no_flow_log).then(|| self.log.drop_log());
        let wanted = self.protections(places)?.into_iter().map(|protection| {
            let ruleset = compile_protected(&manifests.snapshot, &scope, log.as_ref(), &protection);
            Arc::new(ruleset)
        });
        let said = verify(&mut dataplane, wanted).await;
        if !self.source_guard.is_on() {
            return said;
        }
        let differences =
            port_guard::verify(&manifests.snapshot, &scope, log).map_err(unreadable)?;
        with_ports(said, &differences)
    }

    /// Where pods are, if the table is to close that, or may.
    async fn places(&self) -> Option<PodPlaces> {
        let given = self.places.given();
        if given.is_some() || self.pod_start == Mode::Open {
            return given;
        }
        let client = self.input.connect().await?;
        pod_start::places_of(&client, self.node.as_ref()?).await
    }

    /// What the agent was told to do beside judging by policies. Whether a gate was ever there cannot be known.
    fn protections(&self, places: Option<PodPlaces>) -> Result<Vec<Protection>, Failure> {
        let uplinks = if self.source_guard.is_on() {
            uplinks::read()?
        } else {
            BTreeSet::new()
        };
        let closed = match (self.pod_start, places) {
            (Mode::Auto, Some(places)) => vec![Some(places), None],
            (Mode::Closed, places) => vec![places],
            (_, _) => vec![None],
        };
        let protections = closed.into_iter().map(|closed| Protection {
            closed,
            revocable: self.connections.are_revoked(),
            source_guard: self.source_guard.is_on(),
            uplinks: uplinks.clone(),
        });
        Ok(protections.collect())
    }
}

/// What is said of the table, and of the one that guards bridges' ports.
fn with_ports(said: Result<String, Failure>, differences: &[String]) -> Result<String, Failure> {
    if differences.is_empty() {
        return said;
    }
    let lines: String = differences
        .iter()
        .map(|line| printable(line) + "\n")
        .collect();
    match said {
        Ok(said) | Err(Failure::Found(said)) => Err(Failure::Found(said + &lines)),
        other => other,
    }
}

/// Holds the table against each of these. If it is none of them, it was to be the one from which it differs least.
async fn verify(
    dataplane: &mut impl Dataplane,
    wanted: impl IntoIterator<Item = Arc<Ruleset>>,
) -> Result<String, Failure> {
    let mut nearest: Option<Vec<String>> = None;
    for wanted in wanted {
        match dataplane.read(wanted).await.map_err(unreadable)? {
            Found::Same => return Ok(format!("table inet {TABLE} is as it should be\n")),
            Found::Nothing => {
                return Err(Failure::Found(format!(
                    "there is no table inet {TABLE}: no policy is enforced in this network namespace\n"
                )));
            }
            Found::Differs { differences, .. } => {
                let is_nearer = |nearest: &Vec<String>| differences.len() < nearest.len();
                if nearest.as_ref().is_none_or(is_nearer) {
                    nearest = Some(differences);
                }
            }
        }
    }
    let differences = nearest.unwrap_or_default();
    if only_log_settings(&differences) {
        remark(
            "note: only rules of the flow log differ: give the agent's --flow-log-rate and --flow-log-group \
             or --no-flow-log, and manifests with the pods' uids",
        );
    }
    let lines = differences.iter().map(|line| printable(line) + "\n");
    Err(Failure::Found(lines.collect()))
}

fn unreadable(error: NetlinkError) -> Failure {
    match error {
        NetlinkError::NotPermitted => Failure::because(
            "not allowed to read nftables: run as root, or with the capability NET_ADMIN, on the node itself",
        ),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::Memory;
    use policy_compiler::ruleset::Transaction;

    async fn said(memory: &mut Memory) -> Result<String, String> {
        let outcome = verify(memory, [Arc::default(), Arc::default()]).await;
        outcome.map_err(|failure| match failure {
            Failure::Found(text) => text,
            other => format!("{other:?}"),
        })
    }

    #[tokio::test]
    async fn what_is_found_is_told() {
        let mut memory = Memory::default();
        let none =
            "there is no table inet netpol: no policy is enforced in this network namespace\n";
        assert_eq!(said(&mut memory).await, Err(none.to_owned()));
        memory.leave_table();
        memory.find_next(Found::Same);
        let same = "table inet netpol is as it should be\n";
        assert_eq!(said(&mut memory).await, Ok(same.to_owned()));
        let differs = |differences: &[&str]| Found::Differs {
            repair: Transaction::default(),
            differences: differences.iter().map(|&line| line.to_owned()).collect(),
        };
        memory.find_next(differs(&["chain y: is missing"]));
        memory.find_next(Found::Same);
        assert_eq!(said(&mut memory).await, Ok(same.to_owned()), "the second");
        memory.find_next(differs(&["a", "b", "c"]));
        memory.find_next(differs(&["chain x: is missing", "set \u{7}"]));
        let told = said(&mut memory).await;
        let told = told.expect_err("a difference");
        assert!(told.starts_with("chain x: is missing\nset "), "{told}");
        assert!(!told.contains('\u{7}'), "{told}");
    }
}
