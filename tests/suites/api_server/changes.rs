//! Objects change while the agents run: each change is obeyed, and undone when it is undone.

use netpol_tests::control_plane::{namespace, pod};
use netpol_tests::lab::{NODES, Topology, privileged};
use serde_json::{Value, json};

use crate::live::{Live, closes, lets_in};

/// Peers: the pods of the policy's namespace labelled `app=<app>`.
fn by_app(app: &str) -> Value {
    json!([{"podSelector": {"matchLabels": {"app": app}}}])
}

/// Policies come, change and go (semantics rules A12, F11); pods and namespaces are relabelled (rule F10).
#[test]
fn policies_and_labels() {
    if !privileged("policies_and_labels") {
        return;
    }
    let mut live = Live::start(Topology::RoutedVeth);
    live.add_namespaces(&["shop", "other"]);
    live.add_pod("shop/db", &[("app", "db")], 0, 10);
    live.add_pod("shop/web", &[("app", "web")], 1, 10);
    live.add_pod("other/job", &[("app", "job")], 0, 11);
    live.start_agents();
    live.now(
        "without policies",
        &[
            ("shop/web", "shop/db", 80, true),
            ("other/job", "shop/db", 80, true),
        ],
    );

    live.apply(&closes("shop", &["Ingress"]));
    live.eventually(
        "a default deny is obeyed, but never by the own node",
        &[
            ("shop/web", "shop/db", 80, false),
            ("other/job", "shop/db", 80, false),
            ("node-a", "shop/db", 80, true),
        ],
    );
    live.apply(&lets_in("shop", "db", &by_app("web")));
    live.eventually(
        "another policy lets the web tier in",
        &[
            ("shop/web", "shop/db", 80, true),
            ("shop/web", "shop/db", 81, false),
            ("other/job", "shop/db", 80, false),
        ],
    );
    live.apply(&lets_in(
        "shop",
        "db",
        &json!([{"namespaceSelector": {"matchLabels": {"team": "batch"}}}]),
    ));
    live.eventually(
        "the policy is edited",
        &[
            ("shop/web", "shop/db", 80, false),
            ("other/job", "shop/db", 80, false),
        ],
    );

    live.relabel(&namespace("other"), &[("team", "batch")]);
    live.eventually(
        "a namespace gets the label",
        &[
            ("other/job", "shop/db", 80, true),
            ("shop/web", "shop/db", 80, false),
        ],
    );
    live.relabel(&namespace("other"), &[]);
    live.eventually(
        "a namespace loses the label",
        &[("other/job", "shop/db", 80, false)],
    );

    live.apply(&lets_in("shop", "db", &by_app("web")));
    live.eventually(
        "the policy is edited back",
        &[("shop/web", "shop/db", 80, true)],
    );
    live.relabel(&pod("shop", "web"), &[("app", "old")]);
    live.eventually(
        "a peer loses its label",
        &[("shop/web", "shop/db", 80, false)],
    );
    live.relabel(&pod("shop", "web"), &[("app", "web")]);
    live.eventually(
        "a peer gets its label back",
        &[("shop/web", "shop/db", 80, true)],
    );
    live.relabel(&pod("shop", "db"), &[("app", "none")]);
    live.eventually(
        "a subject leaves the policy that let others in",
        &[("shop/web", "shop/db", 80, false)],
    );

    live.delete(&closes("shop", &[]));
    live.eventually(
        "nothing isolates it any more",
        &[
            ("other/job", "shop/db", 80, true),
            ("shop/web", "shop/db", 80, true),
        ],
    );
    live.delete(&lets_in("shop", "db", &json!([])));
    let table = live
        .lab
        .list_table("node-a")
        .unwrap_or_else(|error| panic!("{error}"))
        .unwrap_or_default();
    assert!(
        !table.contains("hook forward"),
        "without isolated pods no policy's chains are entered:\n{table}"
    );
}

/// Pods start, end and hand their addresses on (semantics rules F2, F3, F5, F8).
#[test]
fn pods_come_and_go() {
    if !privileged("pods_come_and_go") {
        return;
    }
    let mut live = Live::start(Topology::Bridge);
    live.add_namespaces(&["shop"]);
    live.apply(&closes("shop", &["Ingress", "Egress"]));
    let egress = json!({
        "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"],
        "egress": [{"to": by_app("db")}],
    });
    live.apply(&netpol_tests::control_plane::policy("shop", "web", egress));
    live.apply(&lets_in("shop", "db", &by_app("web")));
    live.start_agents();

    // The policies were there first; the pod has no address when it is created.
    live.plug_pod("shop/db", 0, 10);
    let add = live
        .control
        .add_pod(("shop", "db"), &[("app", "db")], "node-a", &[]);
    add.unwrap_or_else(|error| panic!("{error}"));
    live.add_pod("shop/web", &[("app", "web")], 1, 10);
    live.set_status(("shop", "db"), "Pending", &NODES[0].pod_addresses(10));
    live.eventually(
        "an address is enforced once it is reported, while init containers still run",
        &[
            ("shop/web", "shop/db", 80, true),
            ("shop/web", "shop/db", 81, false),
            ("outside", "shop/db", 80, false),
        ],
    );

    // The web pod ends; its object and address stay, and another pod gets the address.
    live.set_status(("shop", "web"), "Succeeded", &NODES[1].pod_addresses(10));
    live.eventually(
        "a finished pod is no peer",
        &[("shop/web", "shop/db", 80, false)],
    );
    live.lab
        .remove_pod("shop/web")
        .unwrap_or_else(|error| panic!("{error}"));
    live.add_pod("shop/thief", &[("app", "thief")], 1, 10);
    live.eventually(
        "an address that is handed on loses what the finished pod had",
        &[
            ("shop/thief", "shop/db", 80, false),
            ("shop/thief", "outside", 80, false),
        ],
    );
    live.relabel(&pod("shop", "thief"), &[("app", "web")]);
    live.eventually(
        "the new owner has what its own labels give it",
        &[("shop/thief", "shop/db", 80, true)],
    );

    // Replaced under the same name with another address, as in a StatefulSet.
    live.delete(&pod("shop", "db"));
    live.lab
        .remove_pod("shop/db")
        .unwrap_or_else(|error| panic!("{error}"));
    live.add_pod("shop/db", &[("app", "db")], 0, 20);
    live.eventually(
        "a pod is replaced",
        &[
            ("shop/thief", "shop/db", 80, true),
            ("outside", "shop/db", 80, false),
        ],
    );
    live.plug_pod("shop/heir", 0, 10);
    live.eventually(
        "its old address is nobody's",
        &[
            ("shop/thief", "shop/heir", 80, false),
            ("outside", "shop/heir", 80, true),
        ],
    );
    live.report_pod("shop/heir", &[("app", "heir")], 0, 10);
    live.eventually(
        "until it is somebody's",
        &[("outside", "shop/heir", 80, false)],
    );
}

/// Two live objects with one address: it is closed until one of them goes (semantics rule F9).
#[test]
fn a_contested_address_is_closed() {
    if !privileged("a_contested_address_is_closed") {
        return;
    }
    let mut live = Live::start(Topology::Vxlan);
    live.add_namespaces(&["shop"]);
    live.apply(&closes("shop", &["Ingress"]));
    live.apply(&lets_in("shop", "db", &by_app("web")));
    live.add_pod("shop/db", &[("app", "db")], 0, 10);
    live.add_pod("shop/web", &[("app", "web")], 1, 10);
    live.start_agents();
    live.eventually("alone", &[("shop/web", "shop/db", 80, true)]);
    live.report_pod("shop/ghost", &[("app", "db")], 0, 10);
    live.eventually(
        "the subject is contested",
        &[
            ("shop/web", "shop/db", 80, false),
            ("node-a", "shop/db", 80, true),
        ],
    );
    live.delete(&pod("shop", "ghost"));
    live.eventually("and no more", &[("shop/web", "shop/db", 80, true)]);
    live.report_pod("shop/ghost", &[("app", "web")], 1, 10);
    live.eventually(
        "the peer is contested",
        &[("shop/web", "shop/db", 80, false)],
    );
    live.delete(&pod("shop", "ghost"));
    live.eventually("and no more", &[("shop/web", "shop/db", 80, true)]);
}
