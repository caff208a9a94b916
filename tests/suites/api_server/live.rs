//! A lab whose agents listen to a real API server.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netpol_agent::manifests;
use netpol_tests::control_plane::{self, ControlPlane, Options};
use netpol_tests::lab::{
    Agent, Expect, Lab, LabSpec, NODES, Place, PodSpec, Probe, Topology, Transport,
};
use serde_json::{Value, json};

/// How soon a change must be obeyed. Ordinarily it takes a tenth of a second; the machine may be busy, and an agent that has
/// found no API server for a while asks every half a minute.
const OBEYED_WITHIN: Duration = Duration::from_secs(90);

/// The last byte of the addresses of pods that only keep bridges up.
const IDLE: u8 = 99;

/// Who the agents are.
const ACCOUNT: &str = "system:serviceaccount:kube-system:netpol";

/// Two nodes and a control plane on one wire.
pub(crate) struct Live {
    // Ends before the network it is on.
    pub(crate) control: ControlPlane,
    pub(crate) lab: Lab,
    kubeconfig: PathBuf,
}

/// A request and whether it must be answered: from, to, TCP port.
pub(crate) type Row<'a> = (&'a str, &'a str, u16, bool);

impl Live {
    /// Builds network and control plane; no agent runs yet.
    pub(crate) fn start(topology: Topology) -> Self {
        // A bridge is up while something hangs on it: on each node a pod that no test speaks of.
        let idle = [0, 1].map(|node| pod_spec(&format!("idle/pod-{node}"), node, IDLE));
        let spec = LabSpec {
            pods: idle.to_vec(),
            ..LabSpec::default()
        };
        let mut lab = Lab::build(topology, spec).unwrap_or_else(|error| panic!("{error}"));
        let (v4, v6) = (
            [172, 30, 0, 10].into(),
            "fd00:172:30::a".parse().expect("an address"),
        );
        let netns = lab
            .attach_host("control", v4, v6)
            .unwrap_or_else(|error| panic!("{error}"));
        let options = Options::new(netns.path()).listening_on(IpAddr::V4(v4));
        let control = ControlPlane::start(&options).unwrap_or_else(|error| panic!("{error}"));
        let kubeconfig = control
            .kubeconfig_of(ACCOUNT, &[])
            .unwrap_or_else(|error| panic!("{error}"));
        let live = Self {
            control,
            lab,
            kubeconfig,
        };
        // What users install, and no more: if the agent asked for anything else, it would not work here.
        live.install("rbac.yaml");
        live
    }

    /// Applies a file of the folder `deploy`.
    pub(crate) fn install(&self, name: &str) {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let file = deploy.join(name);
        let manifests = manifests::load(&[file]).unwrap_or_else(|errors| panic!("{errors}"));
        manifests
            .others
            .iter()
            .for_each(|object| self.apply(object));
    }

    /// Creates or changes an object.
    pub(crate) fn apply(&self, object: &Value) {
        self.control
            .apply(object)
            .unwrap_or_else(|error| panic!("{object}: {error}"));
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, object: &Value) {
        self.control
            .delete(object)
            .unwrap_or_else(|error| panic!("{object}: {error}"));
    }

    /// Gives an object these labels and no others.
    pub(crate) fn relabel(&self, object: &Value, labels: &[(&str, &str)]) {
        self.control
            .relabel(object, labels)
            .unwrap_or_else(|error| panic!("{object}: {error}"));
    }

    /// Writes a pod's phase and addresses.
    pub(crate) fn set_status(&self, pod: (&str, &str), phase: &str, addresses: &[IpAddr]) {
        self.control
            .set_pod_status(pod, phase, addresses)
            .unwrap_or_else(|error| panic!("{pod:?}: {error}"));
    }

    /// Creates namespaces without labels.
    pub(crate) fn add_namespaces(&self, names: &[&str]) {
        for name in names {
            self.control
                .add_namespace(name, &[])
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Starts a pod: on the network, then in the API. Its addresses end in `host`.
    pub(crate) fn add_pod(&mut self, key: &str, labels: &[(&str, &str)], node: usize, host: u8) {
        self.plug_pod(key, node, host);
        self.report_pod(key, labels, node, host);
    }

    /// Starts a pod on the network only.
    pub(crate) fn plug_pod(&mut self, key: &str, node: usize, host: u8) {
        self.lab
            .add_pods(vec![pod_spec(key, node, host)])
            .unwrap_or_else(|error| panic!("{error}"));
        // The node may know the address by an earlier pod's link address; network plugins announce the new one.
        let netns = self
            .lab
            .host(&Place::node(NODES[node].name))
            .unwrap_or_else(|error| panic!("{error}"))
            .netns();
        for address in NODES[node].pod_addresses(host) {
            let flush = netns.run(
                &["ip", "neighbour", "flush", "to", &address.to_string()],
                "",
            );
            flush.unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Writes a pod's object, as running.
    pub(crate) fn report_pod(&self, key: &str, labels: &[(&str, &str)], node: usize, host: u8) {
        let added = self.control.add_pod(
            split(key),
            labels,
            NODES[node].name,
            &NODES[node].pod_addresses(host),
        );
        added.unwrap_or_else(|error| panic!("{key}: {error}"));
    }

    /// The arguments that make an agent listen to this API server.
    pub(crate) fn arguments(&self) -> Vec<String> {
        vec![
            "--kubeconfig".to_owned(),
            self.kubeconfig.display().to_string(),
        ]
    }

    /// Starts the agents of both nodes and waits until they are ready.
    pub(crate) fn start_agents(&mut self) {
        for node in &NODES {
            self.start_agent(node.name);
        }
        for node in &NODES {
            self.lab
                .wait_ready(node.name)
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Starts one agent without waiting.
    pub(crate) fn start_agent(&mut self, node: &str) {
        let arguments = self.arguments();
        self.lab
            .start_agent(node, &arguments)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until all rows hold in both families; fails with those that never did.
    pub(crate) fn eventually(&mut self, what: &str, rows: &[Row]) {
        let probes = self.probes(rows);
        let outcomes = self
            .lab
            .probe_until(&probes, OBEYED_WITHIN)
            .unwrap_or_else(|error| panic!("{error}"));
        self.fail_unless_all(what, &probes, &outcomes);
    }

    /// Tries all rows once.
    pub(crate) fn now(&mut self, what: &str, rows: &[Row]) {
        let probes = self.probes(rows);
        let outcomes = self
            .lab
            .probe(&probes)
            .unwrap_or_else(|error| panic!("{error}"));
        self.fail_unless_all(what, &probes, &outcomes);
    }

    fn fail_unless_all(
        &self,
        what: &str,
        probes: &[Probe],
        outcomes: &[netpol_tests::lab::Outcome],
    ) {
        let wrong: Vec<String> = probes
            .iter()
            .zip(outcomes)
            .filter(|(probe, outcome)| !outcome.is(probe.expect))
            .map(|(probe, outcome)| {
                format!(
                    "  {} → {} {}: {outcome}",
                    probe.from, probe.to, probe.transport
                )
            })
            .collect();
        if !wrong.is_empty() {
            let said = NODES.map(|node| {
                let log = self.lab.agent(node.name).map(Agent::log);
                let table = self
                    .lab
                    .list_table(node.name)
                    .unwrap_or_else(|error| Some(error.to_string()));
                format!(
                    "{}:\n{}\n{}",
                    node.name,
                    log.unwrap_or_default(),
                    table.unwrap_or_default()
                )
            });
            panic!("{what}:\n{}\n{}", wrong.join("\n"), said.join("\n"));
        }
    }

    fn probes(&self, rows: &[Row]) -> Vec<Probe> {
        let mut probes = Vec::new();
        for (from, to, port, allowed) in rows {
            let expect = if *allowed {
                Expect::Answer
            } else {
                Expect::Silence
            };
            let host = self
                .lab
                .host(&place(to))
                .unwrap_or_else(|error| panic!("{error}"));
            for ipv4 in [true, false] {
                let address = host
                    .address(ipv4)
                    .unwrap_or_else(|| panic!("{to} has no address"));
                probes
                    .push(Probe::new(&place(from), address, Transport::Tcp(*port)).expect(expect));
            }
        }
        probes
    }
}

/// `outside`, `node-a` or a pod's `namespace/name`.
fn place(text: &str) -> Place {
    match text {
        "outside" => Place::Outside,
        pod if pod.contains('/') => Place::pod(pod),
        node => Place::node(node),
    }
}

fn split(key: &str) -> (&str, &str) {
    key.split_once('/')
        .unwrap_or_else(|| panic!("{key} is no namespace/name"))
}

fn pod_spec(key: &str, node: usize, host: u8) -> PodSpec {
    PodSpec {
        key: key.to_owned(),
        node: NODES[node].name.to_owned(),
        addresses: NODES[node].pod_addresses(host).to_vec(),
    }
}

/// A policy that lets `peers` in on TCP 80 to the pods of its namespace labelled `app=<name>`.
pub(crate) fn lets_in(namespace: &str, name: &str, peers: &Value) -> Value {
    let spec = json!({
        "podSelector": {"matchLabels": {"app": name}},
        "ingress": [{"from": peers, "ports": [{"port": 80}]}],
    });
    control_plane::policy(namespace, name, spec)
}

/// A policy that closes a namespace in the given directions.
pub(crate) fn closes(namespace: &str, directions: &[&str]) -> Value {
    control_plane::policy(namespace, "closed", json!({"policyTypes": directions}))
}
