//! Arguments about what pods may do before their rules are in the kernel.

use std::path::PathBuf;

use clap::Args;
use futures::StreamExt;
use ipnet::IpNet;
use kube::Client;
use policy_compiler::compile::{InterfacePattern, PodPlaces};
use policy_compiler::model::{Name, NodeScope};

use super::Failure;
use crate::doctor::PodStartQuestions;
use crate::nri::{DEFAULT_SOCKET, GateSettings, gate};
use crate::pod_start::{Mode, PodStart, Ranges, fixed, of_node};
use crate::telemetry::Telemetry;

/// In place of a socket: the runtime is not asked.
const OFF: &str = "off";

/// Where this node's pods are.
#[derive(Clone, Debug, Args)]
pub(super) struct Places {
    /// Network of this node's pods and no others, which --pod-start closes; an agent without asks the Node object for its
    /// spec.podCIDRs
    #[arg(long = "pod-cidr", value_name = "NETWORK", value_parser = network)]
    networks: Vec<IpNet>,

    /// Interface of the node's that leads to its pods alone, as veth0 or cali*, where their addresses are of no certain
    /// network
    #[arg(long = "pod-interface", value_name = "PATTERN")]
    interfaces: Vec<InterfacePattern>,
}

impl Places {
    /// What was given, if anything.
    pub(super) fn given(&self) -> Option<PodPlaces> {
        let is_given = !self.networks.is_empty() || !self.interfaces.is_empty();
        is_given.then(|| PodPlaces {
            networks: self.networks.iter().copied().collect(),
            interfaces: self.interfaces.iter().cloned().collect(),
        })
    }
}

/// A whole network: that `10.0.0.1/8` means all of `10.0.0.0/8` is not taken for granted.
fn network(text: &str) -> Result<IpNet, String> {
    let network: IpNet = text
        .parse()
        .map_err(|_| "not a network, as 10.244.1.0/24 or fd00:1::/64".to_owned())?;
    if network != network.trunc() {
        return Err(format!("not a whole network: {} is", network.trunc()));
    }
    Ok(network)
}

/// How pods start.
#[derive(Clone, Debug, Args)]
pub(super) struct PodStartArguments {
    /// What a pod may send and receive before its rules are in the kernel
    #[arg(long = "pod-start", value_enum, value_name = "MODE", default_value_t)]
    mode: Mode,

    #[command(flatten)]
    places: Places,

    /// Socket at which the container runtime lets pods wait for their rules; `off`: it is not asked
    #[arg(long = "nri-socket", value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
}

impl PodStartArguments {
    /// The socket, unless the runtime is not to be asked.
    fn socket(&self) -> Option<PathBuf> {
        let is_asked = self.mode != Mode::Open && self.socket.as_os_str() != OFF;
        is_asked.then(|| self.socket.clone())
    }

    /// Fails at what can never come true.
    pub(super) fn check(&self, has_cluster: bool) -> Result<(), Failure> {
        if self.mode == Mode::Closed && !has_cluster && self.places.given().is_none() {
            return Err(Failure::because(
                "--pod-start closed with --manifests: where are this node's pods? Give --pod-cidr NETWORK or \
                 --pod-interface PATTERN",
            ));
        }
        Ok(())
    }

    pub(super) fn start(
        &self,
        node: &Name,
        client: Option<&Client>,
        telemetry: &Telemetry,
    ) -> PodStart {
        let ranges = match (self.places.given(), client) {
            (Some(places), _) => fixed(places).boxed(),
            (None, Some(client)) if self.mode != Mode::Open => {
                of_node(client.clone(), node.clone()).boxed()
            }
            (None, _) => {
                let why = "there is no Node object without a cluster".to_owned();
                futures::stream::iter([Ranges::Unknown(why)]).boxed()
            }
        };
        let gate = self
            .socket()
            .map(|socket| gate(GateSettings { socket }).boxed());
        PodStart::new(
            &NodeScope::Node(node.clone()),
            self.mode,
            gate,
            ranges,
            telemetry.clone(),
        )
    }

    /// What a doctor has to know of it.
    pub(super) fn questions(&self) -> PodStartQuestions {
        PodStartQuestions {
            mode: self.mode,
            socket: self.socket(),
            places: self.places.given(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: PodStartArguments,
    }

    fn parsed(arguments: &[&str]) -> Result<PodStartArguments, String> {
        let line = Line::try_parse_from(["x"].iter().chain(arguments));
        line.map(|line| line.arguments)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (arguments, word) in [
            (["--pod-cidr", "10.244.1.0"], "not a network"),
            (["--pod-cidr", "10.244.1.7/24"], "10.244.1.0/24 is"),
            (["--pod-interface", "*"], "not like"),
            (["--pod-interface", "a*b"], "not like"),
            (["--pod-start", "ajar"], "possible values"),
        ] {
            let error = parsed(&arguments).expect_err("refused");
            assert!(error.contains(word), "{arguments:?}: {error}");
        }
        let places = [
            "--pod-cidr=10.0.0.0/8",
            "--pod-cidr=fd00::/64",
            "--pod-interface=cali*",
        ];
        let places = parsed(&places)
            .expect("fine")
            .places
            .given()
            .expect("given");
        assert_eq!((places.networks.len(), places.interfaces.len()), (2, 1));
    }

    #[test]
    fn the_runtime_is_asked_unless_told_otherwise() {
        let socket = |arguments: &[&str]| parsed(arguments).expect("fine").socket();
        assert_eq!(socket(&[]), Some(DEFAULT_SOCKET.into()));
        assert_eq!(socket(&["--pod-start=closed"]), Some(DEFAULT_SOCKET.into()));
        assert_eq!(socket(&["--nri-socket=/x"]), Some("/x".into()));
        assert_eq!(socket(&["--nri-socket=off"]), None);
        assert_eq!(socket(&["--pod-start=open"]), None);
    }

    #[test]
    fn closed_needs_to_know_where() {
        let fails = |arguments: &[&str], has_cluster| {
            parsed(arguments).expect("fine").check(has_cluster).is_err()
        };
        assert!(fails(&["--pod-start=closed"], false));
        assert!(!fails(&["--pod-start=closed"], true));
        assert!(!fails(
            &["--pod-start=closed", "--pod-cidr=10.0.0.0/8"],
            false
        ));
        assert!(!fails(&[], false));
    }
}
