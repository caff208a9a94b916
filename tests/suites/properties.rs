//! What must hold of every world: random histories of a small cluster, three ways to the same answer.

#[path = "properties/concerned.rs"]
mod concerned;

use std::net::IpAddr;

use ipnet::IpNet;
use netpol_tests::cluster::Cluster;
use netpol_tests::interpreter::{Outcome, Packet, Way, run};
use netpol_tests::kernel_model::{Table, commit};
use netpol_tests::worlds::{NODES, all_flows, drop_log, history, name, protection, scope};
use policy_compiler::compile::{PodPlaces, Protection, compile, compile_protected};
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{NodeScope, Snapshot};
use policy_compiler::ruleset::{Ruleset, Transaction};
use policy_compiler::verdict::{Endpoint, Judge};
use proptest::prelude::*;

fn world_of(events: Vec<Event>) -> Snapshot {
    let mut compiler = Compiler::new(NodeScope::AllNodes);
    events.into_iter().for_each(|event| compiler.apply(event));
    compiler.snapshot().clone()
}

/// Commits, and looks at the table that is left: what it holds, and that counters which were there and still are have
/// kept what they counted.
fn commit_to(
    table: &mut Table,
    transaction: &Transaction,
    wanted: &Ruleset,
) -> Result<(), TestCaseError> {
    table
        .counters
        .values_mut()
        .for_each(|packets| *packets += 1);
    let counted = table.counters.clone();
    let mut now = Some(std::mem::take(table));
    commit(&mut now, transaction).map_err(TestCaseError::fail)?;
    *table = now.ok_or_else(|| TestCaseError::fail("no table"))?;
    prop_assert_eq!(&table.ruleset, wanted);
    let mut expected = Table::of(wanted).counters;
    for (name, packets) in &mut expected {
        *packets = counted.get(name).copied().unwrap_or(0);
    }
    prop_assert_eq!(&table.counters, &expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024,
        // A failing case is printed whole, shrunk; it becomes a row of its own.
        failure_persistence: None, ..ProptestConfig::default() })]

    /// Whenever one looks, the ruleset kept up to date equals the one compiled from scratch, and the transactions taken
    /// on the way, at any moments, turn an empty table into it.
    #[test]
    fn incremental_equals_from_scratch(events in history(25), scope in scope(), log in drop_log(), protections in (protection(), protection(), any::<u64>()), looks in any::<u64>(), commits in any::<u64>()) {
        let (mut protection, mut other, swaps) = protections;
        let mut compiler = Compiler::new(scope.clone()).with_protection(protection.clone()).with_drop_log(log);
        let mut table = Table::default();
        let last = events.len().saturating_sub(1);
        let chosen = |bits: u64, i: usize| i == last || bits >> (i % 64) & 1 == 1;
        for (i, event) in events.into_iter().enumerate() {
            compiler.apply(event);
            if chosen(swaps, i) {
                std::mem::swap(&mut protection, &mut other);
                compiler.protect(protection.clone());
            }
            if chosen(looks, i) {
                let scratch = compile_protected(compiler.snapshot(), &scope, log.as_ref(), &protection);
                let kept = compiler.ruleset();
                prop_assert!(*kept == scratch, "after event {i}:\n{kept}\n--- from scratch:\n{scratch}");
            }
            if chosen(commits, i) {
                let transaction = compiler.take_transaction();
                commit_to(&mut table, &transaction, compiler.ruleset())?;
            }
        }
    }

    /// The difference between any two rulesets turns the one into the other.
    #[test]
    fn transactions_between_any_two_rulesets(before in history(15), after in history(15), scope in scope(), logs in (drop_log(), drop_log()), protections in (protection(), protection())) {
        let old = compile_protected(&world_of(before), &scope, logs.0.as_ref(), &protections.0);
        let new = compile_protected(&world_of(after), &scope, logs.1.as_ref(), &protections.1);
        let mut table = Table::of(&old);
        commit_to(&mut table, &Transaction::between(&old, &new), &new)?;
        let mut table = Some(table);
        commit(&mut table, &Transaction::replace(&old)).map_err(TestCaseError::fail)?;
        prop_assert_eq!(table, Some(Table::of(&old)));
    }

    /// Where pods are closed, nothing passes from or to an address of their networks that no pod of the node has; all
    /// else is as it was, and the order of the protections' being said makes no difference.
    #[test]
    fn the_closed_set_closes_what_is_not_programmed_and_nothing_else(events in history(18), others in protection()) {
        let snapshot = world_of(events);
        let networks: Vec<IpNet> = ["10.0.0.0/24", "fd00::/64"].iter().filter_map(|n| n.parse().ok()).collect();
        let closed = Some(PodPlaces { networks: networks.iter().copied().collect(), ..PodPlaces::default() });
        let protection = Protection { closed, ..others };
        let here = NodeScope::Node(name(NODES[0]));
        let open = compile(&snapshot, &here);
        let closed = compile_protected(&snapshot, &here, None, &protection);
        let is_programmed = |address: IpAddr| snapshot.pods.values().any(|pod| here.is_local(pod) && pod.network_addresses().contains(address));
        let is_missing = |address: IpAddr| networks.iter().any(|n| n.contains(&address)) && !is_programmed(address);
        for flow in all_flows() {
            let packet = Packet::of(&flow, false);
            for way in [Way::Through, Way::In, Way::Out] {
                let is_closed = is_missing(packet.source) || way != Way::In && is_missing(packet.destination);
                let expected = if is_closed { Outcome::Dropped } else { run(&open, way, &packet) };
                prop_assert_eq!(run(&closed, way, &packet), expected, "{:?} {:?}\n{}", &flow, way, closed);
            }
            let own = Packet { source_is_local: true, ..packet };
            prop_assert_eq!(run(&closed, Way::Out, &own), Outcome::Accepted);
        }
    }

    /// What the rulesets of all nodes do with a flow is what the evaluator says of it.
    #[test]
    fn rulesets_do_what_the_evaluator_says(events in history(18)) {
        let snapshot = world_of(events);
        let everywhere = compile(&snapshot, &NodeScope::AllNodes);
        let cluster = Cluster::new(&snapshot, NODES.map(name));
        let judge = Judge::new(&snapshot);
        for flow in all_flows() {
            let verdict = judge.judge(&flow);
            if let (Endpoint::Address(_), Endpoint::Address(_)) = (&flow.source, &flow.destination) {
                let outcome = run(&everywhere, Way::Through, &Packet::of(&flow, false));
                prop_assert!((outcome == Outcome::Accepted) == verdict.is_allowed(), "one ruleset: {outcome:?}, but\n{verdict}\n{everywhere}");
            }
            if let Some(outcome) = cluster.run(&flow) {
                prop_assert!((outcome == Outcome::Accepted) == verdict.is_allowed(), "nodes: {outcome:?}, but\n{verdict}");
            }
        }
    }
}
