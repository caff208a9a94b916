//! What `netpol doctor` finds in namespaces that were made so.

mod bridges;
mod others;

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use netpol_agent::dataplane::NetlinkDataplane;
use netpol_agent::doctor::features;
use netpol_tests::lab::{Netns, netpol_binary, privileged, wait_for_links};
use policy_compiler::ruleset::{Ident, Operation, Transaction};
use serde_json::Value;

const CALLS: [&str; 2] = [
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
];

fn switch(node: &Netns, value: &'static str) {
    node.sysctl(&CALLS.map(|call| (call, value)))
        .unwrap_or_else(|error| panic!("{error}"));
}

/// All findings, by a shell that gets `netpol` as its first argument and may do things before.
fn findings_of(node: &Netns, script: &str, arguments: &str) -> Vec<Value> {
    let binary = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let binary = binary.display().to_string();
    // Findings are on standard output whatever the exit code, which is told behind them.
    let script = format!(
        "{script}\n\"$1\" doctor --no-cluster --pod-start open -o json {arguments}; echo $?"
    );
    let command = ["unshare", "--mount", "sh", "-c", &script, "sh", &binary];
    let said = node
        .run(&command, "")
        .unwrap_or_else(|error| panic!("{error}"));
    let (document, code) = said.trim_end().rsplit_once('\n').expect("an exit code");
    let document: Value = serde_json::from_str(document).expect("JSON");
    let errors = document["errors"].as_u64().expect("a number");
    assert_eq!(code, if errors == 0 { "0" } else { "1" }, "{document}");
    let findings = document["findings"].as_array().expect("findings");
    findings.clone()
}

fn findings(node: &Netns) -> Vec<Value> {
    findings_of(node, "", "")
}

/// What a check found about something: its level, and all its words.
fn about(findings: &[Value], check: &str, subject: Option<&str>) -> Option<(String, String)> {
    let is_it = |finding: &&Value| {
        finding["check"] == check && subject.is_none_or(|subject| finding["subject"] == subject)
    };
    let found = findings.iter().find(is_it)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((
        text("level"),
        format!("{}; {}", text("found"), text("advice")),
    ))
}

/// Asserts the level and some words of a finding.
fn assert_found(findings: &[Value], check: &str, subject: Option<&str>, level: &str, words: &str) {
    let found = about(findings, check, subject);
    let (found_level, said) = found.unwrap_or_else(|| panic!("nothing of {check}: {findings:?}"));
    assert_eq!(found_level, level, "{said}");
    assert!(said.contains(words), "no {words:?}: {said}");
}

/// Asserts that nothing is amiss.
fn assert_well(findings: &[Value]) {
    let amiss: Vec<&Value> = findings.iter().filter(|f| f["level"] != "ok").collect();
    assert!(amiss.is_empty(), "{amiss:?}");
}

/// A node with two pods, on a bridge or by routed links.
struct World {
    node: Netns,
    pods: [Netns; 2],
}

impl World {
    fn new(bridge: Option<&str>) -> Self {
        let new = |name| Netns::new(name).unwrap_or_else(|error| panic!("{error}"));
        let world = Self {
            node: new("node"),
            pods: [new("one"), new("two")],
        };
        let mut lines = "link set lo up\n".to_owned();
        if let Some(bridge) = bridge {
            let _ = writeln!(
                lines,
                "link add {bridge} type bridge forward_delay 0 mcast_snooping 0"
            );
            let _ = writeln!(lines, "link set {bridge} up");
        }
        for (number, pod) in (1..).zip(&world.pods) {
            let netns = pod.path().display().to_string();
            let _ = writeln!(
                lines,
                "link add pod{number} type veth peer name eth0 netns {netns}"
            );
            if let Some(bridge) = bridge {
                let _ = writeln!(lines, "link set pod{number} master {bridge}");
            }
            let _ = writeln!(lines, "link set pod{number} up");
        }
        let plugged = world.node.ip(&lines);
        plugged.unwrap_or_else(|error| panic!("{error}"));
        let forwarding = [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
        ];
        let forwards = world.node.sysctl(&forwarding);
        forwards.unwrap_or_else(|error| panic!("{error}"));
        for (number, pod) in (1..).zip(&world.pods) {
            pod.ip(&format!(
                "link set lo up\nlink set eth0 up\naddress add 10.99.0.{number}/24 dev eth0\n"
            ))
            .unwrap_or_else(|error| panic!("{error}"));
        }
        wait_for_links(std::iter::once(&world.node).chain(&world.pods))
            .unwrap_or_else(|error| panic!("{error}"));
        world
    }

    /// Whether the second pod hears the first, which says the same again and again.
    fn is_reached(&self) -> bool {
        let open = |pod: &Netns, address: &'static str| {
            let socket = pod.call(move || UdpSocket::bind((address, 9000)));
            socket.expect("a pod").expect("a socket")
        };
        let [from, to] =
            [(0, "10.99.0.1"), (1, "10.99.0.2")].map(|(pod, at)| open(&self.pods[pod], at));
        to.set_read_timeout(Some(Duration::from_millis(50)))
            .expect("set");
        (0..20).any(|_| {
            from.send_to(b"np?", "10.99.0.2:9000").expect("sent");
            to.recv(&mut [0; 8]).is_ok()
        })
    }
}

/// What this kernel refuses. Where something is amiss it must refuse, or nothing would be known.
fn refused() -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let dataplane = NetlinkDataplane::open().expect("a socket");
        let mut refused = Vec::new();
        for feature in features() {
            if let Err(error) = dataplane.try_out(&feature.attempt).await {
                refused.push(format!("{}: {error}", feature.what));
            }
            let mut operations = feature.attempt.operations().to_vec();
            operations.push(Operation::FlushChain(Ident::fixed("missing")));
            let broken = dataplane.try_out(&Transaction::new(operations)).await;
            let error = broken.expect_err("there is no such chain");
            assert!(error.is_refusal(), "{}: {error}", feature.what);
        }
        refused
    })
}

#[test]
fn each_feature_is_tried_and_leaves_nothing() {
    if !privileged("each_feature_is_tried_and_leaves_nothing") {
        return;
    }
    let node = Netns::new("features").expect("a namespace");
    // The namespace's own thread is in a runtime already; one that it starts is in the namespace, too.
    let refused = node.call(|| std::thread::spawn(refused).join());
    let refused = refused.expect("a namespace").expect("an answer");
    assert!(refused.is_empty(), "{refused:?}");
    let left = node.run(&["nft", "list", "ruleset"], "");
    assert_eq!(left.expect("a listing"), "");
    assert_well(&findings(&node));
}

#[test]
fn without_net_admin_only_that_is_an_error() {
    if !privileged("without_net_admin_only_that_is_an_error") {
        return;
    }
    let node = Netns::new("forbidden").expect("a namespace");
    let binary = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let run = node.call(move || {
        Command::new("setpriv")
            .args(["--inh-caps=-net_admin", "--bounding-set=-net_admin"])
            .arg(binary)
            .args(["doctor", "--no-cluster"])
            .output()
    });
    let output = run.expect("a namespace").expect("setpriv runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("error")).collect();
    let [error] = errors.as_slice() else {
        panic!("{said}")
    };
    assert!(error.contains("no NET_ADMIN"), "{error}");
    assert!(error.contains("capability NET_ADMIN"), "{error}");
}
