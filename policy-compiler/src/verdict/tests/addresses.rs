//! Rules F1 to F9 and G1 to G7: whose address it is, and who may always connect.

use super::{World, block, container_ports, from, name, pods_in, ports, rule};
use crate::model::{Peers, Phase, Pod, Ports};

/// `shop/db` lets `shop/web` in; `shop/web` is `change`d.
fn web(change: impl FnOnce(&mut Pod)) -> World {
    World::new()
        .pod("shop/db", "10.0.0.1", "app=db")
        .special_pod("shop/web", "10.0.0.2", "app=web", change)
        .ingress(
            "shop/in",
            "*",
            vec![rule(from([pods_in("shop", "app=web")]), Ports::Any)],
        )
}

#[test]
fn only_a_live_pod_on_the_pod_network_is_a_peer_and_a_subject() {
    let alive = [
        "10.0.0.2 10.0.0.1 tcp/80 allow",
        "192.0.2.1 10.0.0.2 tcp/80 deny",
    ];
    let gone = [
        "10.0.0.2 10.0.0.1 tcp/80 deny",
        "192.0.2.1 10.0.0.2 tcp/80 allow",
    ];
    for phase in [Phase::Pending, Phase::Running, Phase::Unknown] {
        web(|pod| pod.phase = phase).check(&alive);
    }
    for phase in [Phase::Succeeded, Phase::Failed] {
        web(|pod| pod.phase = phase).check(&gone);
    }
    web(|pod| pod.host_network = true).check(&gone);
}

#[test]
fn an_address_belongs_to_the_pod_that_lives() {
    web(|pod| pod.phase = Phase::Succeeded)
        .pod("shop/next", "10.0.0.2", "app=next")
        .check(&[
            "10.0.0.2 10.0.0.1 tcp/80 deny",
            "192.0.2.1 10.0.0.2 tcp/80 deny",
        ]);
    web(|_| ())
        .special_pod("shop/job", "10.0.0.2", "app=job", |pod| {
            pod.phase = Phase::Failed;
        })
        .check(&["10.0.0.2 10.0.0.1 tcp/80 allow"]);
}

#[test]
fn a_pod_without_address_is_nobody_yet() {
    World::new()
        .pod("shop/db", "", "app=db")
        .ingress("shop/in", "*", vec![])
        .check(&["192.0.2.1 10.0.0.1 tcp/80 allow"]);
}

#[test]
fn all_addresses_of_a_pod_count() {
    World::new()
        .pod("shop/db", "fd00::1 10.0.0.1", "app=db")
        .ingress("shop/in", "*", vec![])
        .check(&[
            "192.0.2.1 10.0.0.1 tcp/80 deny",
            "2001:db8::1 fd00::1 tcp/80 deny",
        ]);
}

#[test]
fn a_contested_address_is_no_peer_and_everybodys_subject() {
    let contested = web(|_| ()).special_pod("shop/twin", "10.0.0.2", "app=twin", |pod| {
        pod.node = Some(name("node-b"));
    });
    contested.check(&[
        "10.0.0.2 10.0.0.1 tcp/80 deny",
        "192.0.2.1 10.0.0.2 tcp/80 deny",
        "10.0.0.2 10.0.0.2 tcp/80 allow",
        "node-a@172.16.0.1 10.0.0.2 tcp/80 allow",
        "node-b@172.16.0.2 10.0.0.2 tcp/80 allow",
        "node-c@172.16.0.3 10.0.0.2 tcp/80 deny",
        "10.0.0.2 192.0.2.1 tcp/80 allow",
    ]);
}

#[test]
fn one_isolated_claimant_closes_a_contested_address_whatever_its_rules_say() {
    World::new()
        .pod("shop/a", "10.0.0.2", "app=a")
        .pod("shop/b", "10.0.0.2", "app=b")
        .ingress("shop/in", "app=a", super::everything())
        .check(&[
            "192.0.2.1 10.0.0.2 tcp/80 deny",
            "10.0.0.2 192.0.2.1 tcp/80 allow",
        ]);
}

#[test]
fn a_contested_address_is_still_an_address() {
    let destination = |peers, items| {
        World::new()
            .pod("shop/web", "10.0.0.1", "app=web")
            .special_pod("pay/a", "10.0.0.2", "app=a", |pod| {
                pod.ports = container_ports(&["http=tcp/80"]);
            })
            .special_pod("pay/b", "10.0.0.2", "app=a", |pod| {
                pod.ports = container_ports(&["http=tcp/80"]);
            })
            .egress("shop/out", "app=web", vec![rule(peers, items)])
    };
    let block = || from([block("10.0.0.0/24", &[])]);
    destination(block(), ports(&["tcp/80"])).check(&["10.0.0.1 10.0.0.2 tcp/80 allow"]);
    destination(block(), ports(&["tcp/http"])).check(&["10.0.0.1 10.0.0.2 tcp/80 deny"]);
    destination(Peers::Any, Ports::Any).check(&["10.0.0.1 10.0.0.2 tcp/80 allow"]);
    destination(from([super::pods_of("*", "*")]), Ports::Any)
        .check(&["10.0.0.1 10.0.0.2 tcp/80 deny"]);
}

#[test]
fn the_own_node_may_always_connect_and_nobody_else() {
    World::new()
        .pod("shop/db", "10.0.0.1", "app=db")
        .special_pod("shop/far", "10.0.1.1", "app=far", |pod| {
            pod.node = Some(name("node-b"));
        })
        .special_pod("shop/unplaced", "10.0.1.2", "app=u", |pod| pod.node = None)
        .policy("shop/deny", "*", Some(vec![]), Some(vec![]))
        .check(&[
            "node-a@172.16.0.1 10.0.0.1 tcp/80 allow",
            "node-a@10.0.0.254 10.0.0.1 icmp allow",
            "node-b@172.16.0.2 10.0.0.1 tcp/80 deny",
            "node-a@172.16.0.1 10.0.1.1 tcp/80 deny",
            "node-a@172.16.0.1 10.0.1.2 tcp/80 deny",
            // The node's address on a packet that the node did not generate.
            "172.16.0.1 10.0.0.1 tcp/80 deny",
            // Egress to the own node is like any other (decision L1).
            "10.0.0.1 node-a@172.16.0.1 tcp/80 deny",
        ]);
}

#[test]
fn a_pod_may_always_talk_to_itself() {
    World::new()
        .pod("shop/db", "10.0.0.1 fd00::1", "app=db")
        .pod("shop/web", "10.0.0.2", "app=web")
        .policy("shop/deny", "*", Some(vec![]), Some(vec![]))
        .check(&[
            "10.0.0.1 10.0.0.1 tcp/80 allow",
            "fd00::1 fd00::1 icmp allow",
            "10.0.0.1 127.0.0.1 tcp/80 allow",
            "fd00::1 ::1 tcp/80 allow",
            "10.0.0.1 10.0.0.2 tcp/80 deny",
        ]);
}
