//! Whose connections a change concerns: held against the evaluator, for every flow before and after.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netpol_agent::revoke::concerned::Concerned;
use netpol_tests::worlds::{all_flows, event, history, protection, scope};
use policy_compiler::index::Compiler;
use policy_compiler::model::{NodeScope, Snapshot};
use policy_compiler::ruleset::Operation;
use policy_compiler::verdict::{Endpoint, Flow, Judge};
use proptest::collection::vec;
use proptest::prelude::*;

/// Which flows this node lets pass: each side is asked where a pod of the node is concerned.
fn allowed(snapshot: &Snapshot, scope: &NodeScope, flows: &[Flow]) -> Vec<bool> {
    let here: BTreeSet<IpAddr> = snapshot
        .pods
        .values()
        .filter(|pod| scope.is_local(pod))
        .flat_map(|pod| pod.network_addresses().iter())
        .collect();
    let judge = Judge::new(snapshot);
    let verdicts = flows.iter().map(|flow| {
        let [source, destination] =
            [&flow.source, &flow.destination].map(|end| here.contains(&end.address()));
        let verdict = judge.judge(flow);
        (!source || verdict.egress.is_allowed()) && (!destination || verdict.ingress.is_allowed())
    });
    verdicts.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_is_not_concerned_may_what_he_might(before in history(15), changes in vec(vec(event(), 1..4), 1..5), scope in scope(), protection in protection()) {
        // What a node sends is judged by no rule of its own, and by others as anybody's.
        let mut flows = all_flows();
        flows.retain(|flow| matches!(flow.source, Endpoint::Address(_)));
        let mut compiler = Compiler::new(scope.clone()).with_protection(protection);
        before.into_iter().for_each(|event| compiler.apply(event));
        drop(compiler.take_whole());
        let mut could = allowed(compiler.snapshot(), &scope, &flows);
        for events in changes {
            events.iter().cloned().for_each(|event| compiler.apply(event));
            let transaction = compiler.take_transaction();
            let concerned = Concerned::of(&transaction, compiler.ruleset());
            prop_assert!(!concerned.everything);
            let can = allowed(compiler.snapshot(), &scope, &flows);
            for (flow, (could, can)) in flows.iter().zip(could.iter().zip(&can)) {
                let ends = [flow.source.address(), flow.destination.address()];
                let among = |addresses: &BTreeSet<IpAddr>| ends.iter().any(|end| addresses.contains(end));
                let is_right = match (could, can) {
                    // Of a pod that has gone nothing goes on.
                    (true, false) => among(&concerned.narrowed) || among(&concerned.gone),
                    (false, true) => among(&concerned.widened) || among(&concerned.gone),
                    _ => true,
                };
                prop_assert!(is_right, "{flow:?}: {could}, then {can}\n{concerned:?}\n{transaction}");
            }
            could = can;
        }
    }

    /// A relabelled pod somewhere costs a look at its own connections, not at everybody's.
    #[test]
    fn elements_concern_their_own_addresses(before in history(15), changes in vec(event(), 1..4), scope in scope()) {
        let mut compiler = Compiler::new(scope);
        before.into_iter().for_each(|event| compiler.apply(event));
        drop(compiler.take_whole());
        changes.into_iter().for_each(|event| compiler.apply(event));
        let transaction = compiler.take_transaction();
        let only_elements = transaction.operations().iter().all(|operation| matches!(operation,
            Operation::AddTable | Operation::AddElements(..) | Operation::DeleteElements(..)));
        if only_elements {
            let moved: usize = transaction.operations().iter().map(|operation| match operation {
                Operation::AddElements(_, elements) | Operation::DeleteElements(_, elements) => elements.len(),
                _ => 0,
            }).sum();
            let concerned = Concerned::of(&transaction, compiler.ruleset());
            prop_assert!(concerned.narrowed.len() + concerned.widened.len() <= moved);
        }
    }
}
