//! Which connections are objected to, by which policies.

use policy_compiler::decode;
use policy_compiler::model::Name;
use serde_json::{Value, json};

use super::*;

const NODE: &str = "172.30.0.11";
const WEB: &str = "10.0.0.1";
const DB: &str = "10.0.0.2";
const FAR: &str = "10.0.1.1";
const WORLD: &str = "198.51.100.7";
const SERVICE: &str = "10.96.0.1";

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: u8 = 1;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// `shop/web` and `shop/db` on node-a, `shop/far` on node-b. `db` admits web and the outside to TCP 5432; `far` admits nobody;
/// `web` may only talk to db, and to anybody by UDP 53.
fn world() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let namespace = json!({"metadata": {"name": "shop"}});
    snapshot.add_namespace(decode::namespace(&namespace).object.expect("a namespace"));
    for (name, node, address) in [
        ("web", "node-a", WEB),
        ("db", "node-a", DB),
        ("far", "node-b", FAR),
    ] {
        add_pod(&mut snapshot, name, node, address);
    }
    let app = |name| json!({"podSelector": {"matchLabels": {"app": name}}});
    let ports = json!([{"port": 5432}]);
    let world = json!({"ipBlock": {"cidr": format!("{WORLD}/32")}});
    add_policy(
        &mut snapshot,
        "db",
        &json!({"ingress": [{"from": [app("web"), world], "ports": ports}]}),
    );
    add_policy(&mut snapshot, "far", &json!({"ingress": []}));
    add_policy(
        &mut snapshot,
        "web",
        &json!({"policyTypes": ["Egress"], "egress": [
            {"to": [app("db")]}, {"ports": [{"port": 53, "protocol": "UDP"}]},
        ]}),
    );
    snapshot
}

fn add_pod(snapshot: &mut Snapshot, name: &str, node: &str, address: &str) {
    let app = name.split('-').next().unwrap_or_default();
    let json = json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
        "spec": {"nodeName": node}, "status": {"phase": "Running", "podIPs": [{"ip": address}]}
    });
    snapshot.add_pod(decode::pod(&json).object.expect("a pod"));
}

/// About the pods that are called as it is.
fn add_policy(snapshot: &mut Snapshot, name: &str, spec: &Value) {
    let mut spec = spec.clone();
    spec["podSelector"] = json!({"matchLabels": {"app": name}});
    let json = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    snapshot.add_policy(decode::policy(&json).object.expect("a policy"));
}

fn connection(from: &str, to: &str, protocol: u8, port: u16) -> Connection {
    Connection::new(Tuple::new((ip(from), 40_000), (ip(to), port), protocol))
}

/// `egress:shop/web ingress:shop/db`, or nothing.
fn said(snapshot: &Snapshot, connection: &Connection) -> String {
    let claimants = |address: IpAddr| {
        let pods = snapshot.pods.values().map(AsRef::as_ref);
        pods.filter(|pod: &&Pod| pod.network_addresses().iter().any(|a| a == address))
            .collect()
    };
    let scope = NodeScope::Node(Name::parse("node-a").expect("a name"));
    let own = BTreeSet::from([ip(NODE)]);
    let Some(objection) = objection(snapshot, claimants, &scope, &own, connection) else {
        return String::new();
    };
    let sides = objection.directions().map(|direction| {
        let policies = objection.side(direction).iter();
        let policies: Vec<String> = policies.map(ToString::to_string).collect();
        format!("{direction}:{}", policies.join(","))
    });
    sides.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_side_of_this_node_is_asked() {
    let snapshot = world();
    for (from, to, protocol, port, expected) in [
        (WEB, DB, TCP, 5432, ""),
        (WEB, DB, TCP, 80, "ingress:shop/db"),
        (WEB, DB, UDP, 5432, "ingress:shop/db"),
        (WEB, DB, SCTP, 5432, "ingress:shop/db"),
        // Only what names no port is about other protocols.
        (WEB, DB, ICMP, 0, "ingress:shop/db"),
        (WEB, WORLD, ICMP, 0, "egress:shop/web"),
        (WEB, WORLD, UDP, 53, ""),
        (WEB, WORLD, TCP, 443, "egress:shop/web"),
        (WORLD, DB, TCP, 5432, ""),
        (WORLD, WEB, TCP, 80, ""),
        // What that pod's policies say is for the agent of its node.
        (DB, FAR, TCP, 80, ""),
        (WEB, FAR, TCP, 80, "egress:shop/web"),
        (FAR, DB, TCP, 80, "ingress:shop/db"),
        (FAR, WORLD, TCP, 80, ""),
        (WORLD, FAR, TCP, 80, ""),
        (WEB, WEB, TCP, 80, ""),
        // The node may always connect, and pods are judged where they connect to it.
        (NODE, DB, TCP, 80, ""),
        (WEB, NODE, TCP, 80, "egress:shop/web"),
        (DB, NODE, TCP, 80, ""),
    ] {
        let found = said(&snapshot, &connection(from, to, protocol, port));
        assert_eq!(found, expected, "{from} to {to}, {protocol} {port}");
    }
    let mut both = snapshot;
    add_policy(&mut both, "web", &json!({"policyTypes": ["Egress"]}));
    let found = said(&both, &connection(WEB, DB, TCP, 80));
    assert_eq!(found, "egress:shop/web ingress:shop/db");
}

#[test]
fn services_are_their_backends() {
    let snapshot = world();
    let service = connection(WEB, SERVICE, TCP, 80);
    for (backend, port, expected) in [
        (DB, 5432, ""),
        (DB, 80, "ingress:shop/db"),
        (FAR, 80, "egress:shop/web"),
    ] {
        let found = said(&snapshot, &service.redirected(ip(backend), port));
        assert_eq!(found, expected, "{backend} {port}");
    }
    // Masqueraded behind the node on the way out, it is still the pod's.
    let mut masqueraded = connection(WEB, WORLD, TCP, 443);
    masqueraded.reply.destination = ip(NODE);
    assert_eq!(said(&snapshot, &masqueraded), "egress:shop/web");
}

#[test]
fn what_another_brought_about_is_judged_by_that() {
    let snapshot = world();
    let data = connection(DB, WEB, TCP, 40_001);
    assert_eq!(said(&snapshot, &data), "");
    for (port, expected) in [(5432, ""), (21, "ingress:shop/db")] {
        let master = Some(connection(WEB, DB, TCP, port).opened());
        assert_eq!(said(&snapshot, &Connection { master, ..data }), expected);
    }
}

#[test]
fn an_address_that_several_have_is_closed() {
    let mut snapshot = world();
    add_pod(&mut snapshot, "web-2", "node-a", DB);
    assert_eq!(
        said(&snapshot, &connection(WORLD, DB, TCP, 5432)),
        "ingress:shop/db"
    );
    assert_eq!(said(&snapshot, &connection(NODE, DB, TCP, 5432)), "");
}
