//! What others have in nftables.

use netpol_tests::lab::{Netns, privileged};

use super::{World, about, assert_found, findings};

/// Chains as other engines have them; rules behind a jump that keep packets from being tracked, in both ways of saying so.
const OTHERS: &str = r"
table ip filter {
    chain FORWARD { type filter hook forward priority 0; jump cali-FORWARD; jump KUBE-ROUTER-FORWARD; }
    chain cali-FORWARD { }
    chain KUBE-ROUTER-FORWARD { }
    chain KUBE-SERVICES { }
}
table inet kube-network-policies { }
table ip raw {
    chain PREROUTING { type filter hook prerouting priority -300; jump quick; }
    chain quick { udp dport 53 notrack; }
    chain OUTPUT { type filter hook output priority -300; }
    chain idle { notrack; }
}
table inet late { chain forward { type filter hook forward priority 0; }; }
";

#[test]
fn other_engines_and_untracked_packets_are_told() {
    if !privileged("other_engines_and_untracked_packets_are_told") {
        return;
    }
    let node = Netns::new("others").expect("a namespace");
    node.nft(OTHERS).expect("loaded");
    let found = findings(&node);
    for engine in [
        "Calico (Felix)",
        "kube-router, which k3s has built in",
        "kube-network-policies, which kindnet has built in",
    ] {
        assert_found(
            &found,
            "engines",
            Some(engine),
            "warning",
            "another NetworkPolicy",
        );
    }
    let engines = found.iter().filter(|f| f["check"] == "engines").count();
    assert_eq!(engines, 3, "{found:?}");
    let (level, said) = about(&found, "untracked", None).expect("found");
    assert_eq!(level, "warning");
    assert!(said.contains("(in raw/quick)"), "{said}");
    node.nft("flush chain ip raw quick").expect("flushed");
    assert_eq!(about(&findings(&node), "untracked", None), None);
    // Not every kernel has flowtables; what it has is told.
    let flow_table =
        "table inet fast { flowtable f { hook ingress priority 0; devices = { lo }; } }";
    let offload = node
        .nft(flow_table)
        .map(|()| ("warning".to_owned(), "fast/f"))
        .ok();
    let told = about(&findings(&node), "offload", None);
    assert_eq!(
        told.as_ref().map(|(level, _)| level),
        offload.as_ref().map(|(level, _)| level)
    );
}

#[test]
fn what_an_agent_left_is_told() {
    if !privileged("what_an_agent_left_is_told") {
        return;
    }
    let node = Netns::new("left").expect("a namespace");
    assert_found(&findings(&node), "agent", None, "ok", "no agent runs");
    node.nft("table inet netpol { }").expect("loaded");
    assert_found(&findings(&node), "agent", None, "warning", "netpol cleanup");
}

/// The table names a pod that the node would look for by its way out, as it is with pods on macvlan links.
#[test]
fn isolated_pods_without_a_link_are_told() {
    if !privileged("isolated_pods_without_a_link_are_told") {
        return;
    }
    let world = World::new(None);
    let node = &world.node;
    node.nft(
        "table inet netpol { \
           chain c { }; \
           map ingress4 { type ipv4_addr : verdict; elements = { 10.99.0.1 : goto c, 10.98.0.7 : goto c }; }; \
           map egress6 { type ipv6_addr : verdict; elements = { fd00:99::1 : goto c }; }; \
         }",
    )
    .expect("loaded");
    node.ip("route add 10.99.0.1 dev pod1\nroute add fd00:99::1 dev pod1\n")
        .expect("routes");
    assert_eq!(about(&findings(node), "reach", None), None);
    node.ip("route add default dev pod2\nroute add default dev pod2 metric 7\n")
        .expect("a way out");
    let (level, said) = about(&findings(node), "reach", None).expect("found");
    assert_eq!(level, "warning");
    assert!(
        said.contains("no link to 10.98.0.7, and would look for them by pod2"),
        "{said}"
    );
    node.ip("route add 10.98.0.7 dev pod1\n").expect("a route");
    assert_eq!(about(&findings(node), "reach", None), None);
}
