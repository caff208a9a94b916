//! A pod is flooded with packets that its policies forbid, from everywhere and at full speed.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use netpol_agent::flow_log;

use netpol_tests::lab::{
    Expect, Lab, Place, Probe, Signal, Topology, Transport, manifests, privileged, send_raw,
};

use crate::ledger::{Ledger, Random, awaited, counted, metric, packet, told};
use crate::world::{CALLER, NEAR, POLICIES, STRANGER, addresses, at, build, check, objects};
use nix::sys::signal::kill;
use nix::unistd::Pid;

const NODE: &str = "node-a";

/// Of each family half of them.
const PACKETS: usize = 200_000;
const SOURCES: usize = 50_000;

/// At least so many of them must have met the rules, or it was no flood: the rest overflowed queues on their way, more of
/// them where the machine does something else, too.
const ARRIVED: u64 = PACKETS as u64 / 4;

/// Lines may be needed in so many of which each takes along what was suppressed before it.
const ROUNDS: usize = 6;

/// Probes that are never to notice the flood.
fn probes() -> Vec<Probe> {
    let mut probes = Vec::new();
    for to in addresses(NEAR) {
        probes.push(Probe::new(&at(CALLER), to, Transport::Tcp(80)));
        probes.push(Probe::new(&at(STRANGER), to, Transport::Tcp(80)).expect(Expect::Silence));
    }
    probes
}

/// Prepares the packets, and sends them from the outside host while this returns.
fn flood(lab: &Lab, random: &mut Random) -> Receiver<std::io::Result<Duration>> {
    let families = addresses(NEAR).map(|to| {
        let sources: Vec<IpAddr> = (0..SOURCES / 2)
            .map(|_| random.stranger(to.is_ipv4()))
            .collect();
        let packets: Vec<Vec<u8>> = (0..PACKETS / 2)
            .map(|i| {
                let from = SocketAddr::new(sources[i % sources.len()], random.port());
                packet(from, SocketAddr::new(to, random.port()), i % 2 == 0)
            })
            .collect();
        (to, packets)
    });
    let outside = lab.host(&Place::Outside).expect("the outside host");
    outside.netns().submit(move || {
        let start = Instant::now();
        for (to, packets) in &families {
            send_raw(packets, *to)?;
        }
        Ok(start.elapsed())
    })
}

/// Bytes that the agent's process has had in memory at most.
fn peak_memory(lab: &Lab) -> usize {
    let pid = lab.agent(NODE).expect("an agent").pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes
        .and_then(|kb| kb.parse::<usize>().ok())
        .expect("VmHWM")
        << 10
}

/// How the agent does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// It runs.
    Running,
    /// It does not get to run until the flood is over.
    Stopped,
}

/// As docs/flow-log.md says.
const _: () = assert!(flow_log::MEMORY <= 18_800_000);

fn survive(topology: Topology, rate: &str, pace: Pace) {
    let mut random = Random::seeded();
    let mut lab = build(topology);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("world.yaml"), objects() + POLICIES).expect("a file");
    let mut arguments = manifests(&folder);
    arguments.extend(["--flow-log-rate", rate, "--flow-log-window", "3s"].map(str::to_owned));
    lab.start_agent(NODE, &arguments)
        .and_then(|()| lab.wait_ready(NODE))
        .unwrap_or_else(|error| panic!("{error}"));
    check(&mut lab, &probes());

    let memory_before = peak_memory(&lab);
    let agent = lab.agent(NODE).expect("an agent").pid();
    let agent = Pid::from_raw(i32::try_from(agent).expect("a process"));
    if pace == Pace::Stopped {
        kill(agent, Signal::SIGSTOP).expect("it stops");
    }
    let flooding = flood(&lab, &mut random);
    let took = loop {
        check(&mut lab, &probes());
        match flooding.try_recv() {
            Ok(took) => break took.expect("packets are sent"),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => panic!("the outside host has ended"),
        }
    };
    if pace == Pace::Stopped {
        kill(agent, Signal::SIGCONT).expect("it goes on");
        // Nothing shows that the second reading after the last packet is done, by which what is missing counts as settled.
        std::thread::sleep(Duration::from_secs(3));
    }
    check(&mut lab, &probes());
    let grown = peak_memory(&lab) - memory_before;

    // Each further line takes along what has been suppressed.
    let mut total = 0;
    let is_told = (0..ROUNDS).any(|_| {
        check(&mut lab, &probes());
        total = counted(&lab, NODE);
        told(|| metric(&lab, NODE, "netpol_flow_log_packets_total", &[]) == total)
    });
    let of_outcome = |outcome| {
        let labels = [format!("outcome=\"{outcome}\"")];
        let count = metric(&lab, NODE, "netpol_flow_log_packets_total", &[&labels[0]]);
        format!("{outcome} {count}")
    };
    let outcomes = ["logged", "folded", "suppressed", "lost"].map(of_outcome);
    let near = [
        "namespace=\"conn\"",
        "workload=\"Pod/near\"",
        "direction=\"ingress\"",
    ];
    let counters = lab.counters(NODE).unwrap_or_else(|error| panic!("{error}"));
    let of_near = counters["pod/conn/near/ingress"];
    let in_metric =
        awaited(|| metric(&lab, NODE, "netpol_dropped_packets_total", &near) == of_near);

    let (status, lines) = lab
        .stop_agent_with_flows(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "{status}");
    let ledger = Ledger::of(&lines);
    println!(
        "{topology}, rate {rate}: sent in {took:?}, counted {total}: {ledger}; grown {grown} bytes"
    );
    assert!(of_near >= ARRIVED, "only {of_near} packets met the rules");
    assert!(in_metric, "the metric of the pod's drops is not {of_near}");
    assert!(is_told, "of {total} packets the metrics tell {outcomes:?}");
    assert_eq!(counted(&lab, NODE), total, "nothing is sent any more");
    assert_eq!(ledger.sum(), total, "{ledger}");
    assert!(
        grown <= flow_log::MEMORY,
        "the agent has grown by {grown} bytes, more than {}",
        flow_log::MEMORY
    );
}

#[test]
fn everything_is_handed_on() {
    if privileged("everything_is_handed_on") {
        survive(Topology::RoutedVeth, "1000000", Pace::Running);
    }
}

#[test]
fn the_usual_rate() {
    if privileged("the_usual_rate") {
        survive(Topology::RoutedVeth, "100", Pace::Running);
    }
}

/// What overflows the kernel's buffer is noticed only with the next packet that finds room.
#[test]
fn while_the_agent_stands_still() {
    if privileged("while_the_agent_stands_still") {
        survive(Topology::RoutedVeth, "1000000", Pace::Stopped);
    }
}

#[test]
fn over_a_bridge() {
    if privileged("over_a_bridge") {
        survive(Topology::Bridge, "1000000", Pace::Running);
    }
}
