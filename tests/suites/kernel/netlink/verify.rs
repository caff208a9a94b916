//! `netpol verify`, in a namespace whose table `nft` has made of what `netpol compile` prints.

use netpol_tests::lab::{Netns, netpol_binary};

const WORLD: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: one, labels: {app: web}}
spec: {nodeName: node-a}
status: {phase: Running, podIPs: [{ip: 10.244.1.2}, {ip: 'fd00:10:244:1::2'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, uid: two, labels: {app: db}}
spec: {nodeName: node-a}
status: {phase: Running, podIPs: [{ip: 10.244.1.3}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}, {port: 80}]
";

/// Runs `sh` in the namespace; what it prints, errors too, and its exit code at the end.
fn sh(netns: &Netns, script: &str) -> String {
    let script = format!("( {script} ) 2>&1; echo \"exit $?\"");
    netns.run(&["sh"], &script).expect("a shell")
}

#[test]
fn differences_are_printed() {
    let netpol = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let netpol = netpol.display();
    let folder = tempfile::tempdir().expect("a folder");
    let world = folder.path().join("world.yaml");
    std::fs::write(&world, WORLD).expect("a file");
    let world = world.display();
    let netns = Netns::new("verified").expect("a namespace");
    let verify = |more: &str| {
        sh(
            &netns,
            &format!("{netpol} verify --node node-a -f {world} {more}"),
        )
    };
    assert_eq!(
        verify(""),
        "there is no table inet netpol: no policy is enforced in this network namespace\nexit 1\n"
    );
    let loaded = sh(
        &netns,
        &format!("{netpol} compile --whole-table --node node-a -f {world} | nft -f -"),
    );
    assert_eq!(loaded, "exit 0\n");
    let same = "table inet netpol is as it should be\nexit 0\n";
    assert_eq!(verify(""), same);
    let other = verify("--flow-log-rate 7");
    assert!(
        other.starts_with(
            "note: only rules of the flow log differ: give the agent's --flow-log-rate"
        ) && other.contains("is not `limit rate 7/second burst 35 packets log prefix")
            && other.ends_with("exit 1\n"),
        "{other}"
    );
    let other = verify("--no-flow-log");
    assert!(other.contains("should not be there"), "{other}");
    let edited = sh(
        &netns,
        "nft delete element inet netpol ingress4 '{ 10.244.1.3 }'",
    );
    assert_eq!(edited, "exit 0\n");
    assert_eq!(verify(""), "map ingress4: 10.244.1.3 is missing\nexit 1\n");
    // It tells, and changes nothing.
    assert_eq!(verify(""), "map ingress4: 10.244.1.3 is missing\nexit 1\n");
    // A table that closes pods is as good as one that does not, as far as it may close that.
    let places = "--pod-cidr 10.244.1.0/24";
    let closed = sh(
        &netns,
        &format!(
            "{netpol} compile --whole-table --node node-a -f {world} --pod-start closed {places} > {folder}/closed.nft && \
             nft delete table inet netpol && nft -f {folder}/closed.nft",
            folder = folder.path().display()
        ),
    );
    assert_eq!(closed, "exit 0\n");
    for (more, is_same) in [
        (places, true),
        ("--pod-start closed --pod-cidr 10.244.1.0/24", true),
        ("--pod-start open", false),
        ("--pod-cidr 10.244.2.0/24", false),
        ("", false),
    ] {
        let said = verify(more);
        assert_eq!(said == same, is_same, "{more}: {said}");
    }
    let forbidden = sh(
        &netns,
        &format!("setpriv --bounding-set=-net_admin {netpol} verify -f {world}"),
    );
    assert_eq!(
        forbidden,
        "error: not allowed to read nftables: run as root, or with the capability NET_ADMIN, on the node itself\n\
         exit 1\n"
    );
}
