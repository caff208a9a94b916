//! Objects that no API server of today would accept, but that are stored: written straight into etcd.

use netpol_tests::lab::{Topology, privileged};
use serde_json::json;

use crate::live::{Live, closes, lets_in};

/// One bad policy closes its own pods, is reported by name, and nothing else suffers (decision L12).
#[test]
fn a_bad_policy_closes_its_own_pods_only() {
    if !privileged("a_bad_policy_closes_its_own_pods_only") {
        return;
    }
    let mut live = Live::start(Topology::RoutedVeth);
    live.add_namespaces(&["shop"]);
    live.add_pod("shop/db", &[("app", "db")], 0, 10);
    live.add_pod("shop/web", &[("app", "web")], 0, 11);
    live.add_pod("shop/job", &[("app", "job")], 1, 10);
    live.start_agents();
    let mut bad = lets_in(
        "shop",
        "db",
        &json!([{}, {"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.0.0.0/8"]}}]),
    );
    bad["metadata"]["uid"] = "00000000-0000-4000-8000-000000000001".into();
    bad["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    live.control
        .store("/registry/networkpolicies/shop/db", &bad)
        .unwrap_or_else(|error| panic!("{error}"));
    live.eventually(
        "a bad policy",
        &[
            ("shop/job", "shop/db", 80, false),
            ("shop/job", "shop/web", 80, true),
            ("shop/db", "shop/web", 80, true),
        ],
    );
    live.lab
        .await_log("node-a", "spec.ingress[0].from[0]")
        .unwrap_or_else(|error| panic!("{error}"));
    live.apply(&closes("shop", &["Ingress"]));
    live.eventually(
        "the others are still enforced",
        &[("shop/job", "shop/web", 80, false)],
    );
    let by_app = json!([{"podSelector": {"matchLabels": {"app": "job"}}}]);
    live.apply(&lets_in("shop", "db", &by_app));
    live.eventually(
        "mended",
        &[
            ("shop/job", "shop/db", 80, true),
            ("shop/job", "shop/web", 80, false),
        ],
    );
}
