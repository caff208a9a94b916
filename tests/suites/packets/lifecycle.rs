//! Agents come and go; rules stay until somebody asks for their removal (decision L9).

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netpol_tests::lab::{
    Expect, IpProtocol, Lab, NODES, Place, Probe, Signal, Token, Topology, Transport, manifests,
    netpol_binary, privileged,
};

use crate::world::{CALLER, FAR, NEAR, POLICIES, STRANGER, addresses, at, build, check, objects};

/// The lab with agents that enforce the world's policies, and their folder.
fn enforced(topology: Topology) -> (Lab, PathBuf) {
    let mut lab = build(topology);
    let folder = folder(&lab);
    lab.start_agents(&folder)
        .unwrap_or_else(|error| panic!("{error}"));
    (lab, folder)
}

fn folder(lab: &Lab) -> PathBuf {
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("world.yaml"), objects() + POLICIES).expect("a file");
    folder
}

/// What the policies allow and what they deny.
fn verdicts() -> Vec<Probe> {
    let mut probes = Vec::new();
    for address in [addresses(NEAR), addresses(FAR)].concat() {
        probes.push(Probe::new(&at(CALLER), address, Transport::Tcp(80)));
        probes.push(Probe::new(&at(STRANGER), address, Transport::Tcp(80)).expect(Expect::Silence));
    }
    probes
}

#[test]
fn rules_outlive_their_agent() {
    if !privileged("rules_outlive_their_agent") {
        return;
    }
    let (mut lab, folder) = enforced(Topology::Bridge);
    check(&mut lab, &verdicts());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        for node in &NODES {
            let before = listing(&lab, node.name);
            let status = lab
                .stop_agent(node.name, signal)
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(
                status.success(),
                signal != Signal::SIGKILL,
                "{node:?} after {signal}: {status}"
            );
            assert_eq!(
                listing(&lab, node.name),
                before,
                "{} after {signal}",
                node.name
            );
        }
        check(&mut lab, &verdicts());
        lab.start_agents(&folder)
            .unwrap_or_else(|error| panic!("{error}"));
        check(&mut lab, &verdicts());
    }
}

/// What a node's kernel holds, without counters.
fn listing(lab: &Lab, node: &str) -> String {
    let netns = lab.host(&Place::node(node)).expect("a node").netns();
    netns
        .run(&["nft", "--stateless", "list", "ruleset"], "")
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The source port of the stream below; no probe uses it.
const NUMBER: u16 = 20_000;

/// A stream of forbidden packets, one a millisecond, while the agent is killed and started again: none comes through.
#[test]
fn a_restart_opens_no_window() {
    if !privileged("a_restart_opens_no_window") {
        return;
    }
    let (mut lab, folder) = enforced(Topology::RoutedVeth);
    let stop = Arc::new(AtomicBool::new(false));
    let [to, _] = addresses(NEAR);
    let (told, socket) = (stop.clone(), {
        let bind = || UdpSocket::bind(("0.0.0.0", NUMBER));
        lab.host(&at(STRANGER))
            .expect("a pod")
            .netns()
            .call(bind)
            .expect("alive")
            .expect("a socket")
    });
    let sender = std::thread::spawn(move || {
        let mut sent = 0;
        while !told.load(Ordering::Relaxed) {
            // A refusal would be an answer; the arrival is what counts.
            let _ = socket.send_to(b"np?\n", (to, 53));
            sent += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        sent
    });
    for _ in 0..3 {
        lab.stop_agent("node-a", Signal::SIGKILL)
            .unwrap_or_else(|error| panic!("{error}"));
        lab.start_agent("node-a", &manifests(&folder))
            .unwrap_or_else(|error| panic!("{error}"));
        lab.wait_ready("node-a")
            .unwrap_or_else(|error| panic!("{error}"));
    }
    stop.store(true, Ordering::Relaxed);
    let sent = sender.join().expect("the sender ends");
    assert!(sent > 20, "only {sent} packets were sent");
    let token = Token {
        protocol: IpProtocol::Udp,
        number: NUMBER,
    };
    assert!(
        !lab.has_arrived(&at(NEAR), token),
        "one of {sent} packets came through"
    );
}

/// Tables of somebody else: names as near to ours as they can be, and everything a table can hold.
const OTHERS: &str = "
    table ip netpol { chain forward { type filter hook forward priority 0; counter; }; }
    table ip6 netpol { }
    table inet netpol-other {
        set blocked { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 }; }
        map verdicts { type ipv4_addr : verdict; elements = { 203.0.113.1 : drop }; }
        chain forward { type filter hook forward priority 0; ip saddr @blocked drop; ip saddr vmap @verdicts; }
    }
    table bridge netpol-other { chain forward { type filter hook forward priority 0; }; }\n";

#[test]
fn cleanup_removes_ours_and_nothing_else() {
    if !privileged("cleanup_removes_ours_and_nothing_else") {
        return;
    }
    let mut lab = build(Topology::Bridge);
    let folder = folder(&lab);
    for node in &NODES {
        let netns = lab.host(&Place::node(node.name)).expect("a node").netns();
        netns.nft(OTHERS).unwrap_or_else(|error| panic!("{error}"));
    }
    let before = NODES.map(|node| listing(&lab, node.name));
    lab.start_agents(&folder)
        .unwrap_or_else(|error| panic!("{error}"));
    check(&mut lab, &verdicts());
    for node in &NODES {
        lab.stop_agent(node.name, Signal::SIGTERM)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let with_rules = NODES.map(|node| listing(&lab, node.name));
    let binary = netpol_binary()
        .unwrap_or_else(|error| panic!("{error}"))
        .display()
        .to_string();
    for (i, node) in NODES.iter().enumerate() {
        assert_ne!(
            with_rules[i], before[i],
            "{}: there is something to clean up",
            node.name
        );
        let netns = lab.host(&Place::node(node.name)).expect("a node").netns();
        // Nothing is left to do for the second time, which is no failure.
        for _ in 0..2 {
            netns
                .run(&[&binary, "cleanup"], "")
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(listing(&lab, node.name), before[i], "{}", node.name);
        }
    }
    let open: Vec<Probe> = verdicts()
        .into_iter()
        .map(|probe| probe.expect(Expect::Answer))
        .collect();
    check(&mut lab, &open);
}
