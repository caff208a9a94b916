//! Rules D1 to D13, I1 and I4: ports.

use super::{World, block, container_ports, everything, from, pods_in, ports, rule};
use crate::model::Peers;

/// shop/db, ingress-isolated, with the given port items from anybody.
fn ingress(items: &[&str]) -> World {
    World::new()
        .special_pod("shop/db", "10.0.0.1", "app=db", |pod| {
            pod.ports =
                container_ports(&["http=tcp/8080", "http=tcp/8081", "dns=udp/53", "dns=tcp/53"]);
        })
        .ingress("shop/p", "*", vec![rule(Peers::Any, ports(items))])
}

#[test]
fn numbers_and_protocols() {
    ingress(&["tcp/80"]).check(&[
        "192.0.2.1 10.0.0.1 tcp/80 allow",
        "192.0.2.1 10.0.0.1 tcp/81 deny",
        "192.0.2.1 10.0.0.1 udp/80 deny",
        "192.0.2.1 10.0.0.1 sctp/80 deny",
        "192.0.2.1 10.0.0.1 icmp deny",
    ]);
    ingress(&["udp"]).check(&[
        "192.0.2.1 10.0.0.1 udp/1 allow",
        "192.0.2.1 10.0.0.1 udp/65535 allow",
        "192.0.2.1 10.0.0.1 tcp/1 deny",
        "192.0.2.1 10.0.0.1 icmp deny",
    ]);
    ingress(&["sctp/80"]).check(&[
        "192.0.2.1 10.0.0.1 sctp/80 allow",
        "192.0.2.1 10.0.0.1 tcp/80 deny",
    ]);
}

#[test]
fn ranges_hold_both_ends() {
    ingress(&["tcp/80-90", "tcp/85-95", "tcp/100-100"]).check(&[
        "192.0.2.1 10.0.0.1 tcp/79 deny",
        "192.0.2.1 10.0.0.1 tcp/80 allow",
        "192.0.2.1 10.0.0.1 tcp/90 allow",
        "192.0.2.1 10.0.0.1 tcp/95 allow",
        "192.0.2.1 10.0.0.1 tcp/96 deny",
        "192.0.2.1 10.0.0.1 tcp/100 allow",
        "192.0.2.1 10.0.0.1 tcp/101 deny",
    ]);
}

#[test]
fn names_are_resolved_in_the_subject_for_ingress() {
    ingress(&["tcp/http"]).check(&[
        "192.0.2.1 10.0.0.1 tcp/8080 allow",
        "192.0.2.1 10.0.0.1 tcp/8081 allow",
        "192.0.2.1 10.0.0.1 tcp/80 deny",
        "192.0.2.1 10.0.0.1 udp/8080 deny",
    ]);
    ingress(&["udp/dns"]).check(&[
        "192.0.2.1 10.0.0.1 udp/53 allow",
        "192.0.2.1 10.0.0.1 tcp/53 deny",
    ]);
    ingress(&["udp/http"]).check(&[
        "192.0.2.1 10.0.0.1 udp/8080 deny",
        "192.0.2.1 10.0.0.1 tcp/8080 deny",
    ]);
    ingress(&["tcp/nobody"]).check(&["192.0.2.1 10.0.0.1 tcp/8080 deny"]);
}

/// Two pods that mean different numbers by one name; `shop/web` may reach the name in both.
fn egress(peers: Peers) -> World {
    let http = |number: &str| container_ports(&[&format!("http=tcp/{number}")]);
    World::new()
        .pod("shop/web", "10.0.0.1", "app=web")
        .special_pod("shop/a", "10.0.0.2", "app=api", |pod| {
            pod.ports = http("8080");
        })
        .special_pod("shop/b", "10.0.0.3", "app=api", |pod| {
            pod.ports = http("9090");
        })
        .egress("shop/p", "app=web", vec![rule(peers, ports(&["tcp/http"]))])
}

#[test]
fn names_are_resolved_in_each_destination_for_egress() {
    let rows = [
        "10.0.0.1 10.0.0.2 tcp/8080 allow",
        "10.0.0.1 10.0.0.2 tcp/9090 deny",
        "10.0.0.1 10.0.0.3 tcp/9090 allow",
        "10.0.0.1 10.0.0.3 tcp/8080 deny",
        "10.0.0.1 192.0.2.1 tcp/8080 deny",
        "10.0.0.1 node-a@172.16.0.1 tcp/8080 deny",
    ];
    egress(Peers::Any).check(&rows);
    egress(from([pods_in("shop", "app=api")])).check(&rows);
    egress(from([block("0.0.0.0/0", &[])])).check(&rows);
    egress(from([block("192.0.2.0/24", &[])])).check(&[
        "10.0.0.1 10.0.0.2 tcp/8080 deny",
        "10.0.0.1 192.0.2.1 tcp/8080 deny",
    ]);
}

#[test]
fn only_rules_without_ports_allow_other_protocols() {
    let world = ingress(&["tcp", "udp", "sctp"]);
    world.check(&["192.0.2.1 10.0.0.1 icmp deny"]);
    world
        .ingress("shop/open", "*", everything())
        .check(&["192.0.2.1 10.0.0.1 icmp allow"]);
}
