//! Packets made to look like what they are not. Each arrives where there are no rules, or the test would prove nothing.

use std::net::IpAddr;

use netpol_tests::lab::{IpProtocol, Place, Topology, privileged};

use crate::shots::{ARRIVED_WITHIN, DENIED_WITHIN, Shots};
use crate::world::{CALLER, FAR, NEAR, STRANGER, addresses, at, build, build_isolated, isolated};

#[test]
fn odd_packets_do_not_get_past_a_deny() {
    if !privileged("odd_packets_do_not_get_past_a_deny") {
        return;
    }
    for topology in Topology::ALL {
        let mut shots = Shots::default();
        for receiver in [NEAR, FAR] {
            for source in addresses(STRANGER) {
                shots.aim(STRANGER, source, receiver, 80);
            }
            // Other ports of the same receiver are open to this one.
            for source in addresses(CALLER) {
                shots.aim(CALLER, source, receiver, 81);
            }
        }
        let open = build(topology);
        shots.fire(&open);
        let arrived = shots.arrived(&open, ARRIVED_WITHIN);
        let lost: Vec<&str> = shots
            .0
            .iter()
            .map(|shot| &*shot.name)
            .filter(|name| !arrived.contains(name))
            .collect();
        assert_eq!(
            lost,
            Vec::<&str>::new(),
            "{topology}: without rules all of them arrive"
        );

        shots.none_arrives(&build_isolated(topology));
    }
}

/// The own node is let in for being the node, not for its address (semantics rule G3).
#[test]
fn a_pod_with_the_address_of_the_node_is_not_the_node() {
    if !privileged("a_pod_with_the_address_of_the_node_is_not_the_node") {
        return;
    }
    for topology in Topology::ALL {
        let open = build(topology);
        let mut shots = Shots::default();
        for &source in open
            .host(&Place::node("node-a"))
            .expect("a node")
            .addresses()
        {
            shots.aim(STRANGER, source, NEAR, 80);
            shots.aim(STRANGER, source, FAR, 80);
        }
        shots.fire(&open);
        let arrived = shots.arrived(&open, DENIED_WITHIN).len();
        if topology == Topology::Bridge {
            assert!(
                arrived > 0,
                "pods of one bridge can forge addresses, or this test proves nothing"
            );
        }
        shots.none_arrives(&build_isolated(topology));
    }
}

/// What a pod sends to itself comes back through a service or not at all: a packet that bears the receiver's own
/// address was forged (decision L2 lets pods reach themselves).
#[test]
fn a_pod_with_the_address_of_its_victim_does_not_get_in() {
    if !privileged("a_pod_with_the_address_of_its_victim_does_not_get_in") {
        return;
    }
    for topology in Topology::ALL {
        let mut shots = Shots::default();
        for receiver in [NEAR, FAR] {
            for source in addresses(receiver) {
                shots.aim(STRANGER, source, receiver, 80);
            }
        }
        let open = build(topology);
        shots.fire(&open);
        let arrived = shots.arrived(&open, DENIED_WITHIN);
        assert!(
            arrived.iter().any(|name| name.contains("fd00:")),
            "{topology}: over IPv6 nobody else stops them, or this test proves nothing"
        );
        shots.none_arrives(&build_isolated(topology));
    }
}

/// What the node sends on for others, as IPVS does, is judged like what it forwards: only packets with an address of
/// the node itself are the node's.
#[test]
fn what_the_node_sends_on_is_judged_by_its_source() {
    if !privileged("what_the_node_sends_on_is_judged_by_its_source") {
        return;
    }
    let node = Place::node("node-a");
    for topology in Topology::ALL {
        let (mut denied, mut allowed) = (Shots::default(), Shots::default());
        for source in addresses(STRANGER) {
            denied.aim_from(&node, source, NEAR, 80);
        }
        for source in addresses(CALLER) {
            allowed.aim_from(&node, source, NEAR, 80);
        }
        // The pod itself, through its service. Over IPv4 kube-proxy masquerades that, or the pod would not take it.
        for source in addresses(NEAR).into_iter().filter(IpAddr::is_ipv6) {
            allowed.aim_from(&node, source, NEAR, 80);
        }
        // Port 80 is open for TCP.
        allowed
            .0
            .retain(|shot| shot.token.protocol == IpProtocol::Tcp);
        let open = build(topology);
        denied.fire(&open);
        let arrived = denied.arrived(&open, ARRIVED_WITHIN).len();
        assert_eq!(
            arrived,
            denied.0.len(),
            "{topology}: without rules all arrive"
        );
        let lab = build_isolated(topology);
        allowed.fire(&lab);
        let arrived = allowed.arrived(&lab, ARRIVED_WITHIN);
        let lost = allowed.0.iter().map(|shot| &*shot.name);
        let lost: Vec<&str> = lost.filter(|name| !arrived.contains(name)).collect();
        assert_eq!(lost, Vec::<&str>::new(), "{topology}: these are allowed");
        denied.none_arrives(&build_isolated(topology));
    }
}

/// Pods on one bridge have link-local addresses, which no policy knows (decision L13).
#[test]
fn link_local_addresses_are_no_way_around() {
    if !privileged("link_local_addresses_are_no_way_around") {
        return;
    }
    let [sender, receiver]: [IpAddr; 2] =
        ["fe80::bad", "fe80::beef"].map(|address| address.parse().expect("an address"));
    let build_with_addresses = || {
        let lab = build(Topology::Bridge);
        for (pod, address) in [(STRANGER, sender), (CALLER, sender), (NEAR, receiver)] {
            let netns = lab.host(&at(pod)).expect("a pod").netns();
            netns
                .ip(&format!("address add {address}/64 dev eth0 nodad\n"))
                .unwrap_or_else(|error| panic!("{error}"));
        }
        lab
    };
    let mut shots = Shots::default();
    let global = |pod| {
        let mut addresses = addresses(pod).into_iter();
        addresses.find(IpAddr::is_ipv6).expect("dual stack")
    };
    // Past the receiver's ingress, and past the sender's egress to a pod that is open.
    shots.aim_at(&at(STRANGER), sender, (NEAR, receiver), 80);
    shots.aim_at(&at(STRANGER), global(STRANGER), (NEAR, receiver), 80);
    shots.aim_at(&at(CALLER), sender, (STRANGER, global(STRANGER)), 80);
    let open = build_with_addresses();
    shots.fire(&open);
    let arrived = shots.arrived(&open, ARRIVED_WITHIN).len();
    assert_eq!(arrived, shots.0.len(), "without rules all of them arrive");
    let closed = build_with_addresses();
    closed
        .load_rules(&isolated())
        .unwrap_or_else(|error| panic!("{error}"));
    shots.none_arrives(&closed);
}
