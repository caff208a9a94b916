//! Real agents that keep pods closed until their rules are written.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netpol_tests::lab::{
    Expect, Lab, NODES, Place, Probe, Signal, Topology, Transport, manifests, privileged,
    uninterrupted,
};

use crate::world::{CALLER, FAR, NEAR, STRANGER, addresses, at, build, check, eventually, objects};

/// The world's objects, or those without the stranger's addresses: the API server does not tell them yet.
fn put(folder: &Path, knows_stranger: bool) {
    let mut text = objects();
    if !knows_stranger {
        let [v4, v6] = addresses(STRANGER);
        let told = format!("podIPs: [{{ ip: {v4} }}, {{ ip: \"{v6}\" }}]");
        assert!(text.contains(&told), "{text}");
        text = text.replace(&told, "podIPs: []");
    }
    let draft = folder.join(".new");
    std::fs::write(&draft, text).expect("a file");
    std::fs::rename(draft, folder.join("world.yaml")).expect("a file in place of the old");
}

/// What an agent is given that closes its node's ranges.
fn arguments(folder: &Path, node: usize) -> Vec<String> {
    let mut arguments = manifests(folder);
    arguments.extend(["--pod-start=closed", "--nri-socket=off"].map(str::to_owned));
    arguments.extend(
        NODES[node]
            .pod_ranges()
            .map(|range| format!("--pod-cidr={range}")),
    );
    arguments
}

/// The lab with agents that do not know the stranger's addresses.
fn closed(topology: Topology) -> (Lab, PathBuf) {
    let mut lab = build(topology);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    put(&folder, false);
    for (number, node) in NODES.iter().enumerate() {
        lab.start_agent(node.name, &arguments(&folder, number))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    for node in &NODES {
        lab.wait_ready(node.name)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    (lab, folder)
}

/// Who talks to whom, if the stranger may or may not. It is no policy's: none is there.
fn probes(stranger: Expect) -> Vec<Probe> {
    let mut probes = Vec::new();
    for transport in [Transport::Tcp(80), Transport::Udp(53)] {
        for (from, to, expect) in [
            (STRANGER, NEAR, stranger),
            (STRANGER, FAR, stranger),
            (NEAR, STRANGER, stranger),
            (FAR, STRANGER, stranger),
            (CALLER, NEAR, Expect::Answer),
            (CALLER, FAR, Expect::Answer),
            (FAR, CALLER, Expect::Answer),
        ] {
            let probe = |address| Probe::new(&at(from), address, transport).expect(expect);
            probes.extend(addresses(to).map(probe));
        }
    }
    // The node's own probes reach a pod before its rules do.
    let health = |address| Probe::new(&Place::node("node-a"), address, Transport::Tcp(80));
    probes.extend(addresses(STRANGER).map(health));
    probes
}

#[test]
fn a_pod_is_closed_until_its_address_is_told() {
    if !privileged("a_pod_is_closed_until_its_address_is_told") {
        return;
    }
    for topology in [Topology::Bridge, Topology::RoutedVeth] {
        let (mut lab, folder) = closed(topology);
        check(&mut lab, &probes(Expect::Silence));
        put(&folder, true);
        eventually(&mut lab, "its address is told", &probes(Expect::Answer));
        put(&folder, false);
        eventually(&mut lab, "it is taken away", &probes(Expect::Silence));
        // Nobody is there to hear of it: it stays closed, and the others as they were.
        lab.stop_agent("node-a", Signal::SIGKILL)
            .unwrap_or_else(|error| panic!("{error}"));
        put(&folder, true);
        check(&mut lab, &probes(Expect::Silence));
        lab.start_agent("node-a", &arguments(&folder, 0))
            .and_then(|()| lab.wait_ready("node-a"))
            .unwrap_or_else(|error| panic!("{error}"));
        check(&mut lab, &probes(Expect::Answer));
    }
}

/// The source port of the packets below; no probe uses it.
const NUMBER: u16 = 20_001;

/// A packet a millisecond from a pod without rules, while its node's agent is killed and started again: none gets out.
#[test]
fn no_packet_of_it_passes_while_agents_come_and_go() {
    if !privileged("no_packet_of_it_passes_while_agents_come_and_go") {
        return;
    }
    let (mut lab, folder) = closed(Topology::RoutedVeth);
    let [near, _] = addresses(NEAR);
    let receiver = {
        let bind = move || UdpSocket::bind((near, NUMBER));
        let netns = lab.host(&at(NEAR)).expect("a pod").netns();
        netns.call(bind).expect("alive").expect("a socket")
    };
    receiver
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a time");
    let sender = {
        let bind = || UdpSocket::bind(("0.0.0.0", NUMBER));
        let netns = lab.host(&at(STRANGER)).expect("a pod").netns();
        netns.call(bind).expect("alive").expect("a socket")
    };
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let sending = std::thread::spawn(move || {
        let mut number = 0_u32;
        while !told.load(Ordering::Relaxed) {
            number += 1;
            // A refusal would be an answer; the arrival is what counts.
            let _ = sender.send_to(&number.to_be_bytes(), (near, NUMBER));
            std::thread::sleep(Duration::from_millis(1));
        }
        (sender, number)
    });
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        lab.stop_agent("node-a", signal)
            .unwrap_or_else(|error| panic!("{error}"));
        lab.start_agent("node-a", &arguments(&folder, 0))
            .and_then(|()| lab.wait_ready("node-a"))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    stop.store(true, Ordering::Relaxed);
    let (sender, number) = sending.join().expect("the sender");
    assert!(number > 50, "{number} were sent");
    // The first that arrives is one that was sent when it was allowed.
    put(&folder, true);
    let open = probes(Expect::Answer);
    eventually(&mut lab, "its address is told", &open);
    let last = u32::MAX;
    sender
        .send_to(&last.to_be_bytes(), (near, NUMBER))
        .expect("sent");
    let mut packet = [0; 4];
    uninterrupted(|| receiver.recv(&mut packet)).expect("the last one");
    assert_eq!(u32::from_be_bytes(packet), last, "of {number}");
}

/// Without a runtime to wait, and without being told to close pods, the agent does as it always did, and says so.
#[test]
fn without_a_runtime_pods_are_open_and_people_are_told() {
    if !privileged("without_a_runtime_pods_are_open_and_people_are_told") {
        return;
    }
    let mut lab = build(Topology::RoutedVeth);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    put(&folder, false);
    let mut arguments = arguments(&folder, 0);
    arguments
        .retain(|argument| !argument.starts_with("--pod-start") && !argument.starts_with("--nri"));
    let socket = lab.directory().join("nri.sock");
    arguments.push(format!("--nri-socket={}", socket.display()));
    lab.start_agent("node-a", &arguments)
        .and_then(|()| lab.wait_ready("node-a"))
        .unwrap_or_else(|error| panic!("{error}"));
    check(&mut lab, &probes(Expect::Answer));
    let get = |path| {
        let answer = lab.agent_get("node-a", path);
        answer.unwrap_or_else(|error| panic!("{error}"))
    };
    let (status, text) = get("/readyz");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("pods that start are open"), "{text}");
    assert!(text.contains("nri.sock"), "{text}");
    let (_, metrics) = get("/metrics");
    for line in ["netpol_pod_start_gate 0", "netpol_pod_start_closed 0"] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
}
