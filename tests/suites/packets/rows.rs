//! Every row of every fixture as packets, in every topology, through the rules of real agents.
//!
//! First without agents, where each row's request must arrive, whatever its verdict: a row that is denied because
//! there is no way would pass for ever. Then with them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::told;
use netpol_tests::fixture::{self, Attempt, Expected, Fixture, Row};
use netpol_tests::lab::{
    Expect, Lab, NODES, Outcome, Place, Probe, Topology, Transport, privileged,
};
use policy_compiler::model::Protocol;
use policy_compiler::verdict::{self, Endpoint};

#[test]
fn rows_on_routed_veths() {
    run("rows_on_routed_veths", Topology::RoutedVeth);
}

#[test]
fn rows_on_bridges() {
    run("rows_on_bridges", Topology::Bridge);
}

#[test]
fn rows_on_a_vxlan() {
    run("rows_on_a_vxlan", Topology::Vxlan);
}

fn run(test: &str, topology: Topology) {
    if !privileged(test) {
        return;
    }
    let fixtures = fixture::all();
    let wrong: Vec<String> = fixtures
        .iter()
        .flat_map(|fixture| mismatches(topology, fixture))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} mismatches on {topology}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A probe and the row it stands for.
struct Try<'a> {
    row: &'a Row,
    attempt: &'a Attempt,
    probe: Probe,
}

impl Try<'_> {
    fn describe(&self, fixture: &Fixture, topology: Topology, outcome: &Outcome) -> String {
        let source = self
            .probe
            .source
            .map_or(String::new(), |source| format!(" from {source}"));
        let Self { row, attempt, .. } = self;
        format!(
            "{}: {row} ({topology}, {}{source}): {outcome}",
            fixture.place_of(row),
            attempt.family
        )
    }
}

/// What went wrong with one fixture, ready to print.
fn mismatches(topology: Topology, fixture: &Fixture) -> Vec<String> {
    let spec = fixture.lab().without_contested_addresses();
    let mut lab =
        Lab::build(topology, spec).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
    let tries = tries(&lab, fixture);

    let open: Vec<Probe> = tries
        .iter()
        .map(|t| t.probe.clone().expect(Expect::Answer))
        .collect();
    let outcomes = lab
        .probe(&open)
        .unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
    let mut wrong: Vec<String> = tries
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| !outcome.is(Expect::Answer))
        .map(|(t, outcome)| format!("without agents, {}", t.describe(fixture, topology, outcome)))
        .collect();
    if !wrong.is_empty() {
        return wrong;
    }

    enforce(&mut lab, fixture);
    let probes: Vec<Probe> = tries.iter().map(|t| t.probe.clone()).collect();
    let outcomes = lab
        .probe(&probes)
        .unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
    let mut involved = BTreeSet::new();
    for (t, outcome) in tries
        .iter()
        .zip(&outcomes)
        .filter(|(t, outcome)| !outcome.is(t.probe.expect))
    {
        let verdict = verdict::judge(&fixture.snapshot, &t.attempt.flow);
        let verdict = verdict.to_string().replace('\n', "\n    ");
        wrong.push(format!(
            "{}\n    {verdict}",
            t.describe(fixture, topology, outcome)
        ));
        involved.extend([
            t.attempt.flow.source.address(),
            t.attempt.flow.destination.address(),
        ]);
    }
    if !wrong.is_empty() {
        wrong.push(chains(&lab, &involved));
        return wrong;
    }
    let denied = tries.iter().filter(|t| t.row.expected == Expected::Deny);
    let denied: Vec<&Attempt> = denied.map(|t| t.attempt).collect();
    told::mismatches(&mut lab, fixture, &denied)
}

fn enforce(lab: &mut Lab, fixture: &Fixture) {
    lab.start_agents(&fixture.directory)
        .unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
}

/// The rules that the mismatches met, with what they counted.
fn chains(lab: &Lab, involved: &BTreeSet<std::net::IpAddr>) -> String {
    let pods: Vec<String> = involved
        .iter()
        .filter_map(|&address| match lab.owner(address) {
            Some(Place::Pod(key)) => Some(key.clone()),
            _ => None,
        })
        .collect();
    let about: Vec<&str> = pods.iter().map(String::as_str).collect();
    let mut text = String::new();
    for node in &NODES {
        let chains = lab
            .relevant_chains(node.name, &about)
            .unwrap_or_else(|error| error.to_string());
        let _ = write!(text, "{chains}");
    }
    text
}

fn tries<'a>(lab: &Lab, fixture: &'a Fixture) -> Vec<Try<'a>> {
    let attempts = fixture
        .rows
        .iter()
        .flat_map(|row| row.attempts.iter().map(move |attempt| (row, attempt)));
    attempts
        .flat_map(|(row, attempt)| {
            probes(lab, row, attempt).map(move |probe| Try {
                row,
                attempt,
                probe,
            })
        })
        .collect()
}

/// The row's request. From a node there are several: with the address the row means, and where it talks to a pod of
/// its own, with each it has and with the kernel's choice (semantics rule G1).
fn probes(lab: &Lab, row: &Row, attempt: &Attempt) -> impl Iterator<Item = Probe> + use<> {
    let transport = match attempt.transport {
        verdict::Transport::Port(Protocol::Tcp, port) => Transport::Tcp(port),
        verdict::Transport::Port(Protocol::Udp, port) => Transport::Udp(port),
        verdict::Transport::Port(Protocol::Sctp, port) => Transport::Sctp(port),
        verdict::Transport::Other => Transport::Echo,
    };
    let expect = if row.expected == Expected::Allow {
        Expect::Answer
    } else {
        Expect::Silence
    };
    let (from, sources) = match &attempt.flow.source {
        Endpoint::Node { name, address } => {
            let from = Place::node(name.as_str());
            let mut sources = vec![Some(*address)];
            if hosts(lab, &from, attempt.flow.destination.address()) {
                let own = lab
                    .host(&from)
                    .map(|host| host.addresses().to_vec())
                    .unwrap_or_default();
                sources = own
                    .into_iter()
                    .filter(|a| a.is_ipv4() == address.is_ipv4())
                    .map(Some)
                    .collect();
                sources.push(None);
            }
            (from, sources)
        }
        Endpoint::Address(address) => {
            let from = lab.owner(*address).cloned().unwrap_or(Place::Outside);
            // A pod has one address of a family; the outside host has many.
            let source = matches!(from, Place::Outside).then_some(*address);
            (from, vec![source])
        }
    };
    let dial = attempt.dial;
    sources.into_iter().map(move |source| Probe {
        source,
        ..Probe::new(&from, dial, transport).expect(expect)
    })
}

/// Whether `address` is one of the node's own pods'.
fn hosts(lab: &Lab, node: &Place, address: std::net::IpAddr) -> bool {
    lab.owner(address)
        .is_some_and(|place| lab.node_of(place).as_ref() == Some(node))
}
