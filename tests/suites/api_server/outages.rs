//! API server and agents fail: rules stay, and what was missed is caught up with (decision L9).

use netpol_tests::control_plane::pod;
use netpol_tests::lab::{Place, Topology, privileged};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::live::{Live, closes, lets_in};

/// A closed database pod on node-a that lets the web pod of node-b in.
fn shop(topology: Topology) -> Live {
    let mut live = Live::start(topology);
    live.add_namespaces(&["shop"]);
    live.apply(&closes("shop", &["Ingress"]));
    live.apply(&lets_in(
        "shop",
        "db",
        &json!([{"podSelector": {"matchLabels": {"app": "web"}}}]),
    ));
    live.add_pod("shop/db", &[("app", "db")], 0, 10);
    live.add_pod("shop/web", &[("app", "web")], 1, 10);
    live.add_pod("shop/job", &[("app", "job")], 1, 11);
    live
}

const AS_POLICIES_SAY: [(&str, &str, u16, bool); 2] = [
    ("shop/web", "shop/db", 80, true),
    ("shop/job", "shop/db", 80, false),
];

/// The API server dies and comes back, with watches that cannot be resumed where they were.
#[test]
fn the_api_server_goes_away() {
    if !privileged("the_api_server_goes_away") {
        return;
    }
    let mut live = shop(Topology::RoutedVeth);
    live.start_agents();
    live.eventually("before", &AS_POLICIES_SAY);
    live.control.kill_api_server();
    live.now("while it is away", &AS_POLICIES_SAY);
    live.control
        .restart_api_server()
        .unwrap_or_else(|error| panic!("{error}"));
    // At once, before the agents are back: additions, changes and deletions they see only by listing again.
    live.relabel(&pod("shop", "job"), &[("app", "web")]);
    live.delete(&pod("shop", "web"));
    live.eventually(
        "what happened meanwhile is caught up with",
        &[
            ("shop/job", "shop/db", 80, true),
            ("shop/web", "shop/db", 80, false),
        ],
    );
    live.delete(&lets_in("shop", "db", &json!([])));
    live.eventually(
        "and the watch goes on",
        &[("shop/job", "shop/db", 80, false)],
    );
    live.delete(&closes("shop", &[]));
    live.eventually(
        "down to the last policy",
        &[("shop/job", "shop/db", 80, true)],
    );
}

/// What an earlier agent may have left: a pod that is gone.
const EARLIER: &str = "table inet netpol {
    map ingress4 { type ipv4_addr : verdict; elements = { 10.244.1.77 : goto pod/shop/gone/ingress }; }
    chain pod/shop/gone/ingress { drop; }
    chain forwarded-ingress { type filter hook forward priority 1; ip daddr vmap @ingress4; }
}
";

/// An agent that starts while there is no API server writes no rule, leaves those of an earlier one alone, says so, and starts
/// to work when there is one.
#[test]
fn the_agent_starts_first() {
    if !privileged("the_agent_starts_first") {
        return;
    }
    let mut live = shop(Topology::Bridge);
    live.control.kill_api_server();
    let node = live.lab.host(&Place::node("node-a")).expect("a node");
    node.netns()
        .nft(EARLIER)
        .unwrap_or_else(|error| panic!("{error}"));
    let list_table = |live: &Live| live.lab.list_table("node-a").expect("a listing");
    let before = list_table(&live);
    assert!(before.is_some(), "there is a table");
    live.start_agent("node-a");
    live.lab
        .await_log("node-a", "172.30.0.10")
        .unwrap_or_else(|error| panic!("{error}"));
    let (status, reason) = live
        .lab
        .agent_get("node-a", "/readyz")
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(status, 503, "ready without having seen anything: {reason}");
    let table = list_table(&live);
    assert_eq!(table, before, "rules were written before the first sync");
    live.control
        .restart_api_server()
        .unwrap_or_else(|error| panic!("{error}"));
    live.lab
        .wait_ready("node-a")
        .unwrap_or_else(|error| panic!("{error}"));
    live.now("once it is ready", &AS_POLICIES_SAY);
    let table = list_table(&live).expect("a table");
    assert!(!table.contains("shop/gone"), "{table}");
}

/// Killed or stopped, the agent leaves its rules; started again it knows what it missed.
#[test]
fn the_agent_goes_away() {
    if !privileged("the_agent_goes_away") {
        return;
    }
    let mut live = shop(Topology::RoutedVeth);
    live.start_agents();
    live.eventually("before", &AS_POLICIES_SAY);
    live.lab
        .stop_agent("node-a", Signal::SIGKILL)
        .unwrap_or_else(|error| panic!("{error}"));
    live.relabel(&pod("shop", "job"), &[("app", "web")]);
    live.delete(&pod("shop", "web"));
    live.now("killed: the rules stay as they were", &AS_POLICIES_SAY);
    live.start_agent("node-a");
    live.eventually(
        "started again",
        &[
            ("shop/job", "shop/db", 80, true),
            ("shop/web", "shop/db", 80, false),
        ],
    );
    let status = live
        .lab
        .stop_agent("node-a", Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "SIGTERM ends it well: {status}");
    live.delete(&closes("shop", &[]));
    live.delete(&lets_in("shop", "db", &json!([])));
    live.now(
        "stopped: the rules stay",
        &[
            ("shop/job", "shop/db", 80, true),
            ("shop/web", "shop/db", 80, false),
        ],
    );
    live.start_agent("node-a");
    live.eventually(
        "and go when the agent learns that the policies went",
        &[("shop/web", "shop/db", 80, true)],
    );
}
