//! A sample of what random rulesets do to real packets: as the evaluator says.

use std::net::IpAddr;

use netpol_tests::lab::{
    Expect, Lab, NODES, OUTSIDE, Place, Probe, Topology, Transport, privileged,
};
use netpol_tests::worlds::{history, name};
use policy_compiler::index::Compiler;
use policy_compiler::model::{NodeScope, Protocol, Snapshot};
use policy_compiler::verdict::{self, Endpoint, Flow, Judge};
use proptest::prelude::any;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use super::placed::{lab_of, placed};

/// Worlds for each kind of pod network.
const WORLDS: u32 = 4;
/// Flows tried in each world, all at once.
const FLOWS: usize = 160;

#[test]
fn a_sample_on_routed_veths() {
    sample("a_sample_on_routed_veths", Topology::RoutedVeth);
}

#[test]
fn a_sample_on_bridges() {
    sample("a_sample_on_bridges", Topology::Bridge);
}

#[test]
fn a_sample_on_a_vxlan() {
    sample("a_sample_on_a_vxlan", Topology::Vxlan);
}

fn sample(test: &str, topology: Topology) {
    if !privileged(test) {
        return;
    }
    // Each try builds a network: few steps to a smaller world are worth their time.
    let config = Config {
        cases: WORLDS,
        max_shrink_iters: 24,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&(history(16), any::<u64>()), |(events, seed)| {
        let mut compiler = Compiler::new(NodeScope::AllNodes);
        events.into_iter().for_each(|event| compiler.apply(event));
        let world = placed(compiler.snapshot());
        let wrong = try_world(topology, &world, seed)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(TestCaseError::fail(wrong.join("\n")))
        }
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, (events, seed))) => {
            panic!("{events:#?}\nseed {seed} on {topology}:\n{why}")
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// What went otherwise than judged.
fn try_world(
    topology: Topology,
    world: &Snapshot,
    seed: u64,
) -> Result<Vec<String>, netpol_tests::lab::LabError> {
    let mut lab = Lab::build(topology, lab_of(world))?;
    lab.load_rules(world)?;
    let judge = Judge::new(world);
    let mut tries = Vec::new();
    for (flow, probe) in shuffled(all(&lab), seed).into_iter().take(FLOWS) {
        let verdict = judge.judge(&flow);
        let expect = if verdict.is_allowed() {
            Expect::Answer
        } else {
            Expect::Silence
        };
        tries.push((verdict, probe.expect(expect)));
    }
    let probes: Vec<Probe> = tries.iter().map(|(_, probe)| probe.clone()).collect();
    let outcomes = lab.probe(&probes)?;
    let wrong = tries
        .iter()
        .zip(&outcomes)
        .filter(|((_, probe), outcome)| !outcome.is(probe.expect));
    Ok(wrong
        .map(|((verdict, probe), outcome)| {
            format!("{} → {}: {outcome}, but\n{verdict}", probe.from, probe.to)
        })
        .collect())
}

/// Every flow between two places, one of them a pod.
fn all(lab: &Lab) -> Vec<(Flow, Probe)> {
    let mut ends: Vec<(Place, Endpoint)> = Vec::new();
    for place in lab.places().filter(|place| matches!(place, Place::Pod(_))) {
        let addresses = lab
            .host(place)
            .map(|host| host.addresses().to_vec())
            .unwrap_or_default();
        ends.extend(
            addresses
                .into_iter()
                .map(|address| (place.clone(), Endpoint::Address(address))),
        );
    }
    for node in &NODES {
        for address in [IpAddr::V4(node.v4), IpAddr::V6(node.v6)] {
            ends.push((
                Place::node(node.name),
                Endpoint::Node {
                    name: name(node.name),
                    address,
                },
            ));
        }
    }
    for address in [IpAddr::V4(OUTSIDE.0), IpAddr::V6(OUTSIDE.1)] {
        ends.push((Place::Outside, Endpoint::Address(address)));
    }
    let mut flows = Vec::new();
    for (from, source) in &ends {
        for (to, destination) in &ends {
            let same_family = source.address().is_ipv4() == destination.address().is_ipv4();
            let has_pod = matches!(from, Place::Pod(_)) || matches!(to, Place::Pod(_));
            if from == to || !same_family || !has_pod {
                continue;
            }
            for (asked, transport) in transports() {
                let flow = Flow {
                    source: source.clone(),
                    destination: destination.clone(),
                    transport,
                };
                let probe = Probe::new(from, destination.address(), asked).source(source.address());
                flows.push((flow, probe));
            }
        }
    }
    flows
}

fn transports() -> Vec<(Transport, verdict::Transport)> {
    let mut all = vec![(Transport::Echo, verdict::Transport::Other)];
    for port in [53, 80, 443, 8080] {
        all.push((
            Transport::Tcp(port),
            verdict::Transport::Port(Protocol::Tcp, port),
        ));
        all.push((
            Transport::Udp(port),
            verdict::Transport::Port(Protocol::Udp, port),
        ));
        all.push((
            Transport::Sctp(port),
            verdict::Transport::Port(Protocol::Sctp, port),
        ));
    }
    all
}

/// In an order that `seed` alone decides.
fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut state = seed | 1;
    for i in (1..items.len()).rev() {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(i, usize::try_from(state % (i as u64 + 1)).unwrap_or(0));
    }
    items
}
