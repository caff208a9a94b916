//! The pods that the hand-written tests of this suite talk about.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use netpol_agent::manifests;
use netpol_tests::lab::{Agent, Lab, LabSpec, NODES, Outcome, Place, PodSpec, Probe, Topology};
use policy_compiler::model::Snapshot;

/// On node-a; may talk to the callees, may not be talked to.
pub(crate) const CALLER: &str = "conn/caller";
/// A callee on the caller's node: may be talked to by callers, may not talk.
pub(crate) const NEAR: &str = "conn/near";
/// A callee on the other node.
pub(crate) const FAR: &str = "conn/far";
/// On node-a, in a namespace of its own; nothing isolates it and nothing lets it in.
pub(crate) const STRANGER: &str = "else/stranger";

const PODS: [(&str, &str, usize, u8); 4] = [
    (CALLER, "caller", 0, 10),
    (NEAR, "callee", 0, 11),
    (FAR, "callee", 1, 11),
    (STRANGER, "none", 0, 13),
];

/// How soon a change must be obeyed. Ordinarily it takes a second; the machine may be busy.
const OBEYED_WITHIN: Duration = Duration::from_secs(60);

/// What callers may and callees must: TCP 80 and UDP 53, and UDP 54, where nobody listens.
pub(crate) const POLICIES: &str = r"
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: callers, namespace: conn }
spec:
  podSelector: { matchLabels: { role: caller } }
  policyTypes: [Ingress, Egress]
  egress:
    - to: [{ podSelector: { matchLabels: { role: callee } } }]
      ports: [{ port: 80 }, { port: 53, protocol: UDP }, { port: 54, protocol: UDP }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: callees, namespace: conn }
spec:
  podSelector: { matchLabels: { role: callee } }
  policyTypes: [Ingress, Egress]
  ingress:
    - from: [{ podSelector: { matchLabels: { role: caller } } }]
      ports: [{ port: 80 }, { port: 53, protocol: UDP }, { port: 54, protocol: UDP }]
";

/// Namespaces and pods as manifests.
pub(crate) fn objects() -> String {
    let mut text = String::new();
    for namespace in ["conn", "else"] {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{ name: {namespace} }}\n"
        );
    }
    for (key, role, node, _) in PODS {
        let (namespace, name) = key.split_once('/').expect("a key");
        let [v4, v6] = addresses(key);
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\n\
             metadata: {{ name: {name}, namespace: {namespace}, labels: {{ role: {role} }} }}\n\
             spec: {{ nodeName: {}, containers: [{{ name: main, image: pause }}] }}\n\
             status: {{ phase: Running, podIPs: [{{ ip: {v4} }}, {{ ip: \"{v6}\" }}] }}\n",
            NODES[node].name
        );
    }
    text
}

/// The world without policies, and without the pods that `is_there` says no to.
pub(crate) fn open_to(is_there: impl Fn(&str) -> bool) -> Snapshot {
    let mut snapshot = snapshot(&objects());
    snapshot.pods.retain(|key, _| is_there(&key.to_string()));
    snapshot
}

/// The world with its policies.
pub(crate) fn isolated() -> Snapshot {
    snapshot(&(objects() + POLICIES))
}

/// The world in which nobody may do anything.
pub(crate) fn deny_all() -> Snapshot {
    let closed = ["conn", "else"].map(|namespace| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{ name: closed, namespace: {namespace} }}\n\
             spec: {{ policyTypes: [Ingress, Egress] }}\n"
        )
    });
    snapshot(&(objects() + &closed.concat()))
}

fn snapshot(text: &str) -> Snapshot {
    let mut file = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .expect("a temporary file");
    file.write_all(text.as_bytes()).expect("write manifests");
    manifests::load(&[file.path().to_owned()])
        .unwrap_or_else(|errors| panic!("{errors}\n{text}"))
        .snapshot
}

/// IPv4 and IPv6.
pub(crate) fn addresses(key: &str) -> [IpAddr; 2] {
    let &(_, _, node, host) = PODS
        .iter()
        .find(|(k, ..)| *k == key)
        .expect("a pod of this world");
    NODES[node].pod_addresses(host)
}

/// The network, without rules.
pub(crate) fn build(topology: Topology) -> Lab {
    let pods = PODS.map(|(key, _, node, _)| PodSpec {
        key: key.to_owned(),
        node: NODES[node].name.to_owned(),
        addresses: addresses(key).to_vec(),
    });
    Lab::build(
        topology,
        LabSpec {
            pods: pods.to_vec(),
            ..LabSpec::default()
        },
    )
    .unwrap_or_else(|error| panic!("{topology}: {error}"))
}

/// The network with the policies' rules on both nodes.
pub(crate) fn build_isolated(topology: Topology) -> Lab {
    let lab = build(topology);
    lab.load_rules(&isolated())
        .unwrap_or_else(|error| panic!("{topology}: {error}"));
    lab
}

/// Sends all probes and fails with everything that was not as expected.
pub(crate) fn check(lab: &mut Lab, probes: &[Probe]) {
    let wrong = mismatches(lab, probes);
    assert!(
        wrong.is_empty(),
        "{}:\n{}",
        lab.topology(),
        wrong.join("\n")
    );
}

/// What was not as expected.
pub(crate) fn mismatches(lab: &mut Lab, probes: &[Probe]) -> Vec<String> {
    let outcomes = lab.probe(probes).unwrap_or_else(|error| panic!("{error}"));
    describe(probes, &outcomes)
}

fn describe(probes: &[Probe], outcomes: &[Outcome]) -> Vec<String> {
    let wrong = probes
        .iter()
        .zip(outcomes)
        .filter(|(probe, outcome)| !outcome.is(probe.expect));
    wrong
        .map(|(probe, outcome)| {
            let Probe {
                from,
                to,
                transport,
                expect,
                source,
                size,
                ..
            } = probe;
            let source = source.map_or(String::new(), |s| format!(" ({s})"));
            format!(
                "  {from}{source} → {to} {transport}, {size} bytes: expected {expect:?}, {outcome}"
            )
        })
        .collect()
}

/// Waits until all probes do as expected; fails with those that never did.
pub(crate) fn eventually(lab: &mut Lab, what: &str, probes: &[Probe]) {
    let outcomes = lab
        .probe_until(probes, OBEYED_WITHIN)
        .unwrap_or_else(|error| panic!("{error}"));
    let wrong = describe(probes, &outcomes);
    if !wrong.is_empty() {
        let logs: Vec<&str> = NODES.iter().map(|node| node.name).collect();
        let logs: Vec<String> = logs
            .iter()
            .filter_map(|node| lab.agent(node))
            .map(Agent::log)
            .collect();
        panic!(
            "{what}:\n{}\nagents say:\n{}",
            wrong.join("\n"),
            logs.join("\n")
        );
    }
}

/// The place of a pod.
pub(crate) fn at(key: &str) -> Place {
    Place::pod(key)
}
