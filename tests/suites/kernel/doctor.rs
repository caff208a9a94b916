//! What `netpol doctor` finds in namespaces that were made so.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use netpol_agent::dataplane::NetlinkDataplane;
use netpol_agent::doctor::features;
use netpol_tests::lab::{Netns, netpol_binary, privileged};
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
    let script = format!("{script}\n\"$1\" doctor --no-cluster -o json {arguments}; echo $?");
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
            lines += &format!("link add {bridge} type bridge forward_delay 0 mcast_snooping 0\n");
            lines += &format!("link set {bridge} up\n");
        }
        for (number, pod) in (1..).zip(&world.pods) {
            let netns = pod.path().display().to_string();
            lines += &format!("link add pod{number} type veth peer name eth0 netns {netns}\n");
            if let Some(bridge) = bridge {
                lines += &format!("link set pod{number} master {bridge}\n");
            }
            lines += &format!("link set pod{number} up\n");
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

/// The finding is held to what packets do: where it says that they are not seen, they pass a table that drops all.
#[test]
fn a_bridge_is_told_as_packets_meet_it() {
    if !privileged("a_bridge_is_told_as_packets_meet_it") {
        return;
    }
    let world = World::new(Some("cni0"));
    let node = &world.node;
    node.nft("table ip drops { chain f { type filter hook forward priority 0; policy drop; }; }")
        .expect("loaded");
    let per_bridge = |on: &str| {
        let [v4, v6] = ["nf_call_iptables", "nf_call_ip6tables"];
        node.ip(&format!("link set cni0 type bridge {v4} {on} {v6} {on}\n"))
            .expect("a bridge");
    };
    for (everywhere, own, level, words) in [
        ("0", "0", "error", "no policy holds"),
        ("1", "0", "ok", "are shown to netfilter"),
        ("0", "1", "ok", "are shown to netfilter"),
    ] {
        switch(node, everywhere);
        per_bridge(own);
        assert_found(&findings(node), "pods", Some("cni0"), level, words);
        assert_eq!(world.is_reached(), level == "error", "{everywhere} {own}");
    }
    per_bridge("0");
    node.sysctl(&[(CALLS[0], "1"), (CALLS[1], "0")])
        .expect("set");
    assert_found(
        &findings(node),
        "pods",
        Some("cni0"),
        "error",
        "IPv6 packets",
    );

    // Where nothing may be set, as in a container, that is said and nothing is set.
    let read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
    let option = "--enable-bridge-netfilter";
    let found = findings_of(node, read_only, option);
    assert_found(
        &found,
        "bridges",
        None,
        "warning",
        "privileged init container",
    );
    assert_found(&found, "pods", Some("cni0"), "error", "sysctl -w");
    let found = findings_of(node, "", option);
    assert_found(&found, "bridges", None, "ok", "are 1 now");
    assert_found(&found, "pods", Some("cni0"), "ok", "are shown");
    assert_well(&findings(node));
    assert!(!world.is_reached());
}

#[test]
fn containers_that_are_no_pods_and_single_ones_are_warned_of() {
    if !privileged("containers_that_are_no_pods_and_single_ones_are_warned_of") {
        return;
    }
    let docker = World::new(Some("docker0"));
    switch(&docker.node, "0");
    let found = findings(&docker.node);
    assert_found(
        &found,
        "pods",
        Some("docker0"),
        "warning",
        "if they are pods",
    );
    let single = World::new(Some("cni0"));
    switch(&single.node, "0");
    single.node.ip("link del pod2\n").expect("unplugged");
    let found = findings(&single.node);
    assert_found(
        &found,
        "pods",
        Some("cni0"),
        "warning",
        "as soon as there are two",
    );
}

#[test]
fn routed_pods_want_forwarding() {
    if !privileged("routed_pods_want_forwarding") {
        return;
    }
    let world = World::new(None);
    let node = &world.node;
    switch(node, "0");
    let found = findings(node);
    assert_found(&found, "pods", None, "ok", "2 veth links");
    assert_well(&found);
    let off = [
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv6/conf/all/forwarding", "0"),
    ];
    node.sysctl(&off).expect("set");
    let found = findings(node);
    assert_found(
        &found,
        "forwarding",
        Some("IPv4"),
        "warning",
        "ip_forward is 0",
    );
    assert_eq!(
        about(&found, "forwarding", Some("IPv6")),
        None,
        "no pod has IPv6"
    );
    node.ip("route add fd00:99::1/128 dev pod1\n")
        .expect("a route");
    let found = findings(node);
    assert_found(
        &found,
        "forwarding",
        Some("IPv6"),
        "warning",
        "forwarding is 0",
    );
    node.ip("link add mac0 link pod1 type macvlan\n")
        .expect("a link");
    let found = findings(node);
    assert_found(&found, "pods", Some("mac0"), "warning", "bypass netfilter");
}

/// Chains as other engines have them; rules behind a jump that keep packets from being tracked, in both ways of saying so.
const OTHERS: &str = r#"
table ip filter {
    chain FORWARD { type filter hook forward priority 0; jump cali-FORWARD; jump KUBE-ROUTER-FORWARD; }
    chain cali-FORWARD { }
    chain KUBE-ROUTER-FORWARD { }
    chain KUBE-SERVICES { }
}
table inet kube-network-policies { }
table ip raw {
    chain PREROUTING { type filter hook prerouting priority -300; jump quick; }
    chain quick { udp dport 53 notrack; }
    chain OUTPUT { type filter hook output priority -300; }
    chain idle { notrack; }
}
table inet late { chain forward { type filter hook forward priority 0; }; }
"#;

#[test]
fn other_engines_and_untracked_packets_are_told() {
    if !privileged("other_engines_and_untracked_packets_are_told") {
        return;
    }
    let node = Netns::new("others").expect("a namespace");
    node.nft(OTHERS).expect("loaded");
    let found = findings(&node);
    for engine in [
        "Calico (Felix)",
        "kube-router, which k3s has built in",
        "kube-network-policies, which kindnet has built in",
    ] {
        assert_found(
            &found,
            "engines",
            Some(engine),
            "warning",
            "another NetworkPolicy",
        );
    }
    let engines = found.iter().filter(|f| f["check"] == "engines").count();
    assert_eq!(engines, 3, "{found:?}");
    let (level, said) = about(&found, "untracked", None).expect("found");
    assert_eq!(level, "warning");
    assert!(said.contains("(in raw/quick)"), "{said}");
    node.nft("flush chain ip raw quick").expect("flushed");
    assert_eq!(about(&findings(&node), "untracked", None), None);
    // Not every kernel has flowtables; what it has is told.
    let flow_table =
        "table inet fast { flowtable f { hook ingress priority 0; devices = { lo }; } }";
    let offload = node
        .nft(flow_table)
        .map(|()| ("warning".to_owned(), "fast/f"))
        .ok();
    let told = about(&findings(&node), "offload", None);
    assert_eq!(
        told.as_ref().map(|(level, _)| level),
        offload.as_ref().map(|(level, _)| level)
    );
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

#[test]
fn what_an_agent_left_is_told() {
    if !privileged("what_an_agent_left_is_told") {
        return;
    }
    let node = Netns::new("left").expect("a namespace");
    assert_found(&findings(&node), "agent", None, "ok", "no agent runs");
    node.nft("table inet netpol { }").expect("loaded");
    assert_found(&findings(&node), "agent", None, "warning", "netpol cleanup");
}
