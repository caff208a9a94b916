//! Real clusters of two nodes: real pods, real kube-proxy, real CNI plugins, and policies obeyed between them.
//!
//! One cluster for each combination of pod network and kube-proxy; the scenarios are played in it one after another, so
//! that it comes up once. Needs root, the Go toolchain (everything is built from its modules the first time), runc,
//! nftables and iptables.

mod agents;
mod connections;
mod crowd;
mod enforcement;
mod forged;
mod packets;
mod peers;
mod plugin;
mod pod_start;
mod pods;
mod probes;
mod protection;
mod questions;
mod replacements;
mod stage;
mod tool;
mod uninstall;
mod workloads;

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use netpol_tests::kubernetes::{Cluster, Cni, Options, Proxy};
use netpol_tests::lab::privileged;

use enforcement::Enforcement;
use stage::{Outcome, Stage};

/// Two clusters at a time are too much for a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A name to find it by, and what is played.
type Scenario = (&'static str, fn(&mut Stage) -> Outcome);

#[test]
fn bridge_and_nftables() {
    play(Cni::Bridge, Proxy::Nftables);
}

#[test]
fn ptp_and_iptables() {
    play(Cni::Ptp, Proxy::Iptables);
}

#[test]
fn bridge_and_iptables() {
    play(Cni::Bridge, Proxy::Iptables);
}

#[test]
fn ptp_and_nftables() {
    play(Cni::Ptp, Proxy::Nftables);
}

fn one_at_a_time() -> MutexGuard<'static, ()> {
    let lock = ONE_AT_A_TIME.lock();
    lock.unwrap_or_else(PoisonError::into_inner)
}

/// Plays all scenarios in one cluster, or those whose name has `$NETPOL_SCENARIO` in it, and fails if any does.
fn play(cni: Cni, proxy: Proxy) {
    if !privileged("cluster suite") {
        return;
    }
    let _one = one_at_a_time();
    let enforcement = Enforcement::chosen().unwrap_or_else(|error| panic!("{error}"));
    let begin = Instant::now();
    let options = Options { cni, proxy };
    let cluster = Cluster::start(options).unwrap_or_else(|error| panic!("{error}"));
    println!(
        "{cni}, {proxy}: up after {:.1} s",
        begin.elapsed().as_secs_f32()
    );
    let enforced = enforcement
        .start(&cluster)
        .unwrap_or_else(|error| panic!("{error}\n{}", state_of(&cluster)));
    let mut stage = Stage {
        options,
        enforced,
        cluster,
    };
    stage
        .set()
        .unwrap_or_else(|error| panic!("{error}\n{}", state_of(&stage.cluster)));
    println!(
        "{cni}, {proxy}: set after {:.1} s",
        begin.elapsed().as_secs_f32()
    );

    let chosen = std::env::var("NETPOL_SCENARIO").unwrap_or_default();
    let scenarios = [
        packets::SCENARIOS,
        peers::SCENARIOS,
        probes::SCENARIOS,
        workloads::SCENARIOS,
        replacements::SCENARIOS,
        agents::SCENARIOS,
        connections::SCENARIOS,
        forged::SCENARIOS,
        pod_start::SCENARIOS,
        protection::SCENARIOS,
        plugin::SCENARIOS,
        uninstall::SCENARIOS,
    ]
    .concat();
    let mut failures = String::new();
    for (name, scenario) in scenarios.iter().filter(|(name, _)| name.contains(&chosen)) {
        let begin = Instant::now();
        let outcome = scenario(&mut stage);
        println!(
            "{cni}, {proxy}: {name}, {:.1} s",
            begin.elapsed().as_secs_f32()
        );
        if let Err(problem) = outcome {
            println!("  failed: {problem}");
            let _ = writeln!(failures, "{name}: {problem}");
        }
    }
    if !failures.is_empty() {
        for node in 0..stage.cluster.nodes().len() {
            let log = stage.enforced.log(&stage.cluster, node);
            println!("{}", log.unwrap_or_else(|error| error.to_string()));
        }
    }
    assert!(failures.is_empty(), "{cni}, {proxy}:\n{failures}");
}

/// What a person would look at.
fn state_of(cluster: &Cluster) -> String {
    let looks: [&[&str]; 2] = [
        &["get", "pods", "--all-namespaces", "--output=wide"],
        &["get", "events", "--all-namespaces"],
    ];
    let looks = looks.map(|look| cluster.kubectl(look));
    looks
        .map(|seen| seen.unwrap_or_else(|error| error.to_string()))
        .concat()
}
