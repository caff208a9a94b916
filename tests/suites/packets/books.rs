//! An agent is killed while packets are dropped. The next one takes the table over, with its counters, and accounts for all
//! that is dropped from then on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netpol_agent::flow_log::format::hubble::Flow;
use netpol_tests::lab::{Lab, Place, Signal, Topology, manifests, privileged, send_raw};

use crate::ledger::{Ledger, Random, awaited, counted, flows, packet};
use crate::world::{NEAR, POLICIES, STRANGER, addresses, at, build, objects};

const NODE: &str = "node-a";

/// So many are dropped before a change, and after it.
const MANY: u64 = 20_000;

/// Sends packets that nobody may send until it is dropped: from everywhere, and from a pod.
struct Flood {
    stop: Arc<AtomicBool>,
    senders: Vec<std::sync::mpsc::Receiver<std::io::Result<()>>>,
}

impl Flood {
    fn start(lab: &Lab, random: &mut Random) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut flood = Self {
            stop: stop.clone(),
            senders: Vec::new(),
        };
        let [to, _] = addresses(NEAR);
        let [stranger, _] = addresses(STRANGER);
        for (place, own) in [(Place::Outside, None), (at(STRANGER), Some(stranger))] {
            let packets: Vec<Vec<u8>> = (0..1000)
                .map(|_| {
                    let source = own.unwrap_or_else(|| random.stranger(true));
                    let from = SocketAddr::new(source, random.port());
                    packet(from, SocketAddr::new(to, 7000 + random.port() % 100), true)
                })
                .collect();
            let stop = stop.clone();
            let sender = lab.host(&place).expect("a place").netns().submit(move || {
                while !stop.load(Ordering::Relaxed) {
                    send_raw(&packets, to)?;
                }
                Ok(())
            });
            flood.senders.push(sender);
        }
        flood
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.recv().expect("alive").expect("packets are sent");
        }
    }
}

fn dropped(lab: &Lab) -> u64 {
    lab.counters(NODE)
        .map_or(0, |counters| counters.values().sum())
}

/// Who it says the sender is: a pod, or somebody outside by address.
fn has_ends(flow: &Flow) -> bool {
    let Some(extensions) = flow.extensions.as_deref() else {
        return false;
    };
    let [_, stranger] = STRANGER.split('/').collect::<Vec<_>>()[..] else {
        return false;
    };
    let address = flow.ip.as_ref().map(|ip| ip.source.clone());
    let is_pods = address == Some(addresses(STRANGER)[0].to_string());
    let source = flow.source.as_ref().map_or("", |end| &end.pod_name);
    let destination = flow.destination.as_ref().map_or("", |end| &end.pod_name);
    let expected = if is_pods {
        (stranger, "pod")
    } else {
        ("", "world")
    };
    (source, extensions.source.kind.as_str()) == expected
        && destination == "near"
        && extensions.reason == "no-rule"
}

fn restart(rate: &str) {
    let mut random = Random::seeded();
    let mut lab = build(Topology::RoutedVeth);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("world.yaml"), objects() + POLICIES).expect("a file");
    let mut arguments = manifests(&folder);
    arguments.extend(["--flow-log-rate", rate, "--flow-log-window", "1s"].map(str::to_owned));
    lab.start_agent(NODE, &arguments)
        .and_then(|()| lab.wait_ready(NODE))
        .unwrap_or_else(|error| panic!("{error}"));
    let (mut told_before, mut dropped_before) = (0, 0_u64);
    for _ in 0..2 {
        let flood = Flood::start(&lab, &mut random);
        let enough = dropped_before + MANY;
        assert!(awaited(|| dropped(&lab) > enough), "the flood is dropped");
        let (_, lines) = lab
            .stop_agent_with_flows(NODE, Signal::SIGKILL)
            .unwrap_or_else(|error| panic!("{error}"));
        told_before = lines.len();
        flood.end();
        // The next agent takes the table over with its counters.
        dropped_before = counted(&lab, NODE);
        lab.start_agent(NODE, &arguments)
            .and_then(|()| lab.wait_ready(NODE))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let flood = Flood::start(&lab, &mut random);
    let enough = dropped_before + MANY;
    assert!(awaited(|| dropped(&lab) > enough), "it is dropped again");
    flood.end();
    let total = counted(&lab, NODE) - dropped_before;
    let (status, lines) = lab
        .stop_agent_with_flows(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "{status}");
    // What was being written when the agent before was killed may be a part of a line, which the next one has ended.
    let lines = &lines[told_before..];
    let lines = lines.trim_start_matches('\n');
    let ledger = Ledger::of(lines);
    println!("rate {rate}: counted {total}: {ledger}");
    let wrong: Vec<Flow> = flows(lines).filter(|flow| !has_ends(flow)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(ledger.firsts > 0, "{ledger}");
    assert_eq!(ledger.sum(), total, "{ledger}");
}

#[test]
fn killed_while_few_packets_are_handed_on() {
    if privileged("killed_while_few_packets_are_handed_on") {
        restart("100");
    }
}

#[test]
fn killed_while_all_packets_are_handed_on() {
    if privileged("killed_while_all_packets_are_handed_on") {
        restart("1000000");
    }
}
