//! What the agent's metrics say of drops.

use netpol_tests::lab::{Topology, privileged};

use crate::flow_log_ground::{NODE, agent, await_metric, awaited, metric, put, send, start, world};
use crate::world::{CALLER, NEAR, POLICIES, STRANGER, objects};

/// The near callee belongs to a Deployment, by way of a `ReplicaSet`.
fn with_owner() -> String {
    let owned = objects().replace(
        "name: near, namespace: conn, labels: { role: callee }",
        "name: near, namespace: conn, labels: { role: callee, pod-template-hash: 6d5f }, \
         ownerReferences: [{ apiVersion: apps/v1, kind: ReplicaSet, name: shop-6d5f, controller: true, uid: u }]",
    );
    assert_ne!(owned, objects(), "the objects have changed their form");
    owned
}

fn drops(workload: &str, direction: &str) -> String {
    format!(
        "netpol_dropped_packets_total{{namespace=\"conn\",workload=\"{workload}\",direction=\"{direction}\"}}"
    )
}

/// Drops are counted by namespace, workload and direction, also those that are not told singly.
#[test]
fn drops_are_counted_by_workload() {
    if !privileged("drops_are_counted_by_workload") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    put(&folder, &(with_owner() + POLICIES));
    start(
        &mut lab,
        &folder,
        &["--flow-log-rate=1", "--flow-log-window=300ms"],
    );
    await_metric(&lab, "netpol_flow_log_up", 1);
    send(&lab, STRANGER, NEAR, std::iter::repeat_n(8001, 40));
    send(&lab, CALLER, STRANGER, std::iter::repeat_n(8002, 3));
    send(&lab, CALLER, NEAR, [53, 53]);
    await_metric(&lab, &drops("Deployment/shop", "ingress"), 40);
    await_metric(&lab, &drops("Pod/caller", "egress"), 3);

    // What has been received is told. That the rest is missing is told with the pod's next line.
    let outcome = |name: &str| {
        let name = format!("netpol_flow_log_packets_total{{outcome=\"{name}\"}}");
        metric(&lab, agent(&lab), &name)
    };
    let mut sent = 40 + 3;
    awaited("what was suppressed is known", || {
        send(&lab, STRANGER, NEAR, [8003]);
        sent += 1;
        // Of a burst of five and some that came later, all but these.
        (outcome("suppressed") >= 30).then_some(())
    });
    let sum: u64 = ["logged", "folded", "suppressed", "lost"]
        .map(outcome)
        .iter()
        .sum();
    assert!(
        outcome("lost") == 0 && sum <= sent,
        "{sum} of {sent} packets"
    );
    await_metric(&lab, &drops("Deployment/shop", "ingress"), sent - 3);
    for (queue, length) in [("sightings", 0), ("lines", 0)] {
        await_metric(
            &lab,
            &format!("netpol_flow_log_queue_length{{queue=\"{queue}\"}}"),
            length,
        );
    }
    let (_, text) = lab
        .agent_get(NODE, "/metrics")
        .unwrap_or_else(|error| panic!("{error}"));
    let series = text
        .lines()
        .filter(|line| line.starts_with("netpol_dropped_packets_total{"));
    assert_eq!(series.count(), 2, "{text}");
}

/// Without the flow log nothing is counted here, and nothing says that it is.
#[test]
fn without_a_log_it_is_not_up() {
    if !privileged("without_a_log_it_is_not_up") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    start(&mut lab, &folder, &["--flow-log=off"]);
    send(&lab, STRANGER, NEAR, [8001]);
    await_metric(&lab, "netpol_flow_log_up", 0);
    let table = lab
        .list_table(NODE)
        .unwrap_or_else(|error| panic!("{error}"))
        .unwrap_or_default();
    assert!(table.contains("counter pod/conn/near/ingress"), "{table}");
    assert!(!table.contains(" log "), "nothing is handed on: {table}");
}
