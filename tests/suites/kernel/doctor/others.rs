//! What others have in nftables.

use netpol_tests::lab::{Netns, privileged};

use super::{about, assert_found, findings};

/// Chains as other engines have them; rules behind a jump that keep packets from being tracked, in both ways of saying so.
const OTHERS: &str = r#"
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
"#;

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
