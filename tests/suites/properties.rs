//! What must hold of every world: random histories of a small cluster, three ways to the same answer.

use std::collections::BTreeSet;

use netpol_tests::interpreter::{Outcome, Packet, run};
use netpol_tests::worlds::{NODES, all_flows, history, name, scope};
use netpol_tests::kernel_model;
use policy_compiler::compile::compile;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{Name, NodeScope, Snapshot};
use policy_compiler::ruleset::{Hook, Ruleset, Transaction};
use policy_compiler::verdict::{Endpoint, Flow, Judge};
use proptest::prelude::*;

fn world_of(events: Vec<Event>) -> Snapshot {
    let mut compiler = Compiler::new(NodeScope::AllNodes);
    events.into_iter().for_each(|event| compiler.apply(event));
    compiler.snapshot().clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    /// After every event the ruleset kept up to date equals the one compiled from scratch, and the transactions taken
    /// on the way, at any moments, turn an empty table into it.
    #[test]
    fn incremental_equals_from_scratch(events in history(25), scope in scope(), commits in any::<u64>()) {
        let mut compiler = Compiler::new(scope.clone());
        let mut table = None;
        kernel_model::commit(&mut table, &Transaction::replace(compiler.ruleset())).map_err(TestCaseError::fail)?;
        for (i, event) in events.into_iter().enumerate() {
            compiler.apply(event);
            let scratch = compile(compiler.snapshot(), &scope);
            prop_assert!(*compiler.ruleset() == scratch, "after event {i}:\n{}\n--- from scratch:\n{}", compiler.ruleset(), scratch);
            if commits >> (i % 64) & 1 == 1 {
                kernel_model::commit(&mut table, &compiler.take_transaction()).map_err(TestCaseError::fail)?;
                prop_assert_eq!(table.as_ref(), Some(compiler.ruleset()));
            }
        }
    }

    /// The difference between any two rulesets turns the one into the other.
    #[test]
    fn transactions_between_any_two_rulesets(before in history(15), after in history(15), scope in scope()) {
        let (old, new) = (compile(&world_of(before), &scope), compile(&world_of(after), &scope));
        let mut table = Some(old.clone());
        kernel_model::commit(&mut table, &Transaction::between(&old, &new)).map_err(TestCaseError::fail)?;
        prop_assert_eq!(table, Some(new));
    }

    /// What the rulesets of all nodes do with a flow is what the evaluator says of it.
    #[test]
    fn rulesets_do_what_the_evaluator_says(events in history(18)) {
        let snapshot = world_of(events);
        let everywhere = compile(&snapshot, &NodeScope::AllNodes);
        let nodes = NODES.map(|node| (name(node), compile(&snapshot, &NodeScope::Node(name(node)))));
        let judge = Judge::new(&snapshot);
        for flow in all_flows() {
            let verdict = judge.judge(&flow);
            if let (Endpoint::Address(_), Endpoint::Address(_)) = (&flow.source, &flow.destination) {
                let outcome = run(&everywhere, Hook::Forward, &packet(&flow));
                prop_assert!((outcome == Outcome::Accepted) == verdict.is_allowed(), "one ruleset: {outcome:?}, but\n{verdict}\n{everywhere}");
            }
            if let Some(outcome) = across_nodes(&snapshot, &nodes, &flow) {
                prop_assert!((outcome == Outcome::Accepted) == verdict.is_allowed(), "nodes: {outcome:?}, but\n{verdict}");
            }
        }
    }
}

fn packet(flow: &Flow) -> Packet {
    Packet {
        source: flow.source.address(),
        destination: flow.destination.address(),
        transport: flow.transport,
        source_is_local: matches!(flow.source, Endpoint::Node { .. }),
    }
}

/// Sends a flow through every node on its way; `None` where the way is not known.
fn across_nodes(snapshot: &Snapshot, rulesets: &[(Name, Ruleset)], flow: &Flow) -> Option<Outcome> {
    let homes = |endpoint: &Endpoint| -> BTreeSet<Name> {
        let claims = |address| snapshot.pods.values().filter(move |pod| pod.network_addresses().contains(address));
        match endpoint {
            Endpoint::Node { name, .. } => [name.clone()].into(),
            Endpoint::Address(address) => claims(*address).filter_map(|pod| pod.node.clone()).collect(),
        }
    };
    let (sources, destinations) = (homes(&flow.source), homes(&flow.destination));
    let involves_node = [&flow.source, &flow.destination].iter().any(|end| matches!(end, Endpoint::Node { .. }));
    if involves_node && (sources.len() > 1 || destinations.len() > 1) {
        // A contested address on two nodes: which of them a node's packet reaches depends on routes.
        return None;
    }
    let mut outcome = Outcome::Accepted;
    for (node, ruleset) in rulesets.iter().filter(|(node, _)| sources.contains(node) || destinations.contains(node)) {
        let sent_here = matches!(flow.source, Endpoint::Node { .. }) && sources.contains(node);
        let meant_for_here = matches!(flow.destination, Endpoint::Node { .. }) && destinations.contains(node);
        let hook = match (sent_here, meant_for_here) {
            (true, _) => Hook::Output,
            (false, true) => Hook::Input,
            (false, false) => Hook::Forward,
        };
        let here = Packet { source_is_local: sent_here, ..packet(flow) };
        if run(ruleset, hook, &here) == Outcome::Dropped {
            outcome = Outcome::Dropped;
        }
    }
    Some(outcome)
}
