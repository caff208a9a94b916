//! `netpol plan`, of connections that are open.

use std::time::{Duration, Instant};

use netpol_tests::lab::{netpol_binary, privileged};
use serde_json::Value;

use super::exchange::PATIENCE;
use super::ground::{CLIENT, Ground, HIDDEN, PORT, SERVER, SERVICE};

const NODE: &str = "node-a";

/// The client is a pod, the server too; both on the router, which is their node.
fn world() -> String {
    let pod = |name: &str, addresses: &[&str]| {
        let addresses: Vec<String> = addresses.iter().map(|a| format!("{{ip: '{a}'}}")).collect();
        format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}
spec: {{nodeName: {NODE}}}
status: {{phase: Running, podIPs: [{}]}}
---
",
            addresses.join(", ")
        )
    };
    pod("client", &CLIENT) + &pod("hidden", &[HIDDEN]) + &pod("server", &SERVER)
}

/// Only the client may connect, and that only to one port.
const CHANGE: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [{port: 81}]
";

#[test]
fn what_a_change_would_cut_is_listed_and_goes_on() {
    if !privileged("what_a_change_would_cut_is_listed_and_goes_on") {
        return;
    }
    let netpol = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let netpol = netpol.display();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (world, change) = (file("world.yaml", &world()), file("change.yaml", CHANGE));
    let ground = Ground::new();
    let plan = |more: &str| {
        let script = format!(
            "{netpol} plan --manifests {world} --node-name {NODE} {more} 2>&1; echo \"exit $?\""
        );
        ground.router.run(&["sh"], &script).expect("a shell")
    };
    let none = plan(&format!("-f {change}"));
    assert_eq!(none, "none of 0 connections would be cut\nexit 0\n");

    let ([c4, c6], [s4, s6], [v4, _]) = (CLIENT, SERVER, SERVICE);
    // The kernel remembers it after its socket has gone.
    drop(ground.udp(HIDDEN, (s4, 82), (s4, 82)));
    // Of TCP it knows that it is over: there is nothing to cut.
    drop(ground.tcp(HIDDEN, (s4, 83), (s4, 83)));
    let deadline = Instant::now() + PATIENCE;
    while !ground.find(|c| c.destination_port() == 83).is_over {
        assert!(Instant::now() < deadline, "both ends have closed it");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut open = vec![
        ground.tcp(c4, (s4, 81), (s4, 81)),
        ground.tcp(c4, (v4, 80), (s4, PORT)),
        ground.udp(HIDDEN, (s4, 82), (s4, 82)),
        ground.icmp(c6, s6, 9),
        ground.tcp(c6, (s6, 81), (s6, 81)),
    ];
    let expected = format!(
        "4 of 6 connections would be cut:
SOURCE                  DESTINATION             PORT      COUNT  FORBIDDEN BY
shop/client ({c4})  shop/server ({s4})  TCP {PORT}  1      ingress: shop/server
shop/hidden ({HIDDEN})  shop/server ({s4})  UDP 82    2      ingress: shop/server
shop/client ({c6})   shop/server ({s6})   ICMPv6    1      ingress: shop/server
exit 1
"
    );
    assert_eq!(plan(&format!("-f {change}")), expected);
    assert_eq!(plan(&format!("-f - < {change}")), expected);
    let json = plan(&format!("-o json -f {change}"));
    let json = json.strip_suffix("exit 1\n").expect("some would be cut");
    let json: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!((&json["cut"], &json["examined"]), (&4.into(), &6.into()));
    for exchange in &mut open {
        assert!(exchange.passes(), "it was only asked");
    }
    // With the policy in force there is nothing that it would cut.
    let world = file("world.yaml", &(self::world() + CHANGE));
    assert!(plan(&format!("-f {change}")).ends_with("exit 0\n"));
    assert!(plan("--delete networkpolicy/shop/server").ends_with("exit 0\n"));
    let relabelled = self::world().replace("{app: client}", "{app: other}");
    let relabelled = file("relabelled.yaml", &relabelled);
    let cut = plan(&format!("-f {relabelled}"));
    assert!(
        cut.starts_with("2 of 6 ") && cut.contains("TCP 81"),
        "{cut}"
    );
    let missing = plan("--delete networkpolicy/shop/another");
    assert!(missing.ends_with("exit 2\n"), "{missing}");
    drop(world);
}
