//! Rules A1 to A12: who is isolated, and how policies add up.

use super::{World, everything, from, pods_in, ports, rule};
use crate::model::{Peers, Ports};

const WEB: &str = "10.0.0.1";
const DB: &str = "10.0.0.2";
const OTHER: &str = "10.0.0.3";
const OUTSIDE: &str = "192.0.2.1";

fn shop() -> World {
    World::new()
        .pod("shop/web", WEB, "app=web")
        .pod("shop/db", DB, "app=db")
        .pod("pay/db", OTHER, "app=db")
}

#[test]
fn without_policies_everything_is_open() {
    shop().check(&[
        "10.0.0.1 10.0.0.2 tcp/80 allow",
        "192.0.2.1 10.0.0.2 icmp allow",
        "10.0.0.1 192.0.2.1 udp/53 allow",
        "192.0.2.1 192.0.2.2 tcp/80 allow",
    ]);
}

#[test]
fn a_policy_isolates_the_pods_it_selects_in_its_own_namespace() {
    shop().ingress("shop/deny", "app=db", vec![]).check(&[
        "10.0.0.1 10.0.0.2 tcp/80 deny",
        "192.0.2.1 10.0.0.2 tcp/80 deny",
        "10.0.0.1 10.0.0.3 tcp/80 allow",
        "192.0.2.1 10.0.0.1 tcp/80 allow",
        "10.0.0.2 10.0.0.1 tcp/80 allow",
    ]);
}

#[test]
fn the_directions_are_independent() {
    shop().egress("shop/deny", "app=db", vec![]).check(&[
        "10.0.0.1 10.0.0.2 tcp/80 allow",
        "10.0.0.2 10.0.0.1 tcp/80 deny",
        "10.0.0.2 192.0.2.1 tcp/80 deny",
    ]);
}

#[test]
fn both_sides_must_agree() {
    let open_out =
        shop()
            .egress("shop/out", "app=web", everything())
            .ingress("shop/deny", "app=db", vec![]);
    open_out.check(&[
        "10.0.0.1 10.0.0.2 tcp/80 deny",
        "10.0.0.1 10.0.0.3 tcp/80 allow",
    ]);
    let open_in =
        shop()
            .egress("shop/deny", "app=web", vec![])
            .ingress("shop/in", "app=db", everything());
    open_in.check(&[
        "10.0.0.1 10.0.0.2 tcp/80 deny",
        "192.0.2.1 10.0.0.2 tcp/80 allow",
    ]);
}

#[test]
fn policies_add_up_and_nothing_takes_away() {
    let web = rule(from([pods_in("shop", "app=web")]), ports(&["tcp/80"]));
    let anyone = rule(Peers::Any, ports(&["tcp/443"]));
    shop()
        .ingress("shop/a", "app=db", vec![web])
        .ingress("shop/b", "*", vec![anyone])
        .ingress("shop/deny", "*", vec![])
        .check(&[
            "10.0.0.1 10.0.0.2 tcp/80 allow",
            "10.0.0.3 10.0.0.2 tcp/80 deny",
            "10.0.0.3 10.0.0.2 tcp/443 allow",
            "10.0.0.2 10.0.0.1 tcp/80 deny",
            "10.0.0.2 10.0.0.1 tcp/443 allow",
        ]);
}

#[test]
fn peers_and_ports_of_different_rules_never_combine() {
    shop()
        .ingress(
            "shop/a",
            "app=db",
            vec![
                rule(from([pods_in("shop", "app=web")]), ports(&["tcp/80"])),
                rule(from([pods_in("shop", "app=none")]), ports(&["tcp/443"])),
            ],
        )
        .check(&[
            "10.0.0.1 10.0.0.2 tcp/80 allow",
            "10.0.0.1 10.0.0.2 tcp/443 deny",
        ]);
}

#[test]
fn lists_whose_items_were_all_invalid_match_nothing() {
    shop()
        .ingress(
            "shop/a",
            "app=db",
            vec![
                rule(Peers::OneOf(vec![]), Ports::Any),
                rule(Peers::Any, Ports::OneOf(vec![])),
            ],
        )
        .check(&[
            "10.0.0.1 10.0.0.2 tcp/80 deny",
            "10.0.0.1 10.0.0.2 icmp deny",
        ]);
}

#[test]
fn a_rule_without_lists_allows_anybody_and_any_protocol() {
    shop()
        .ingress("shop/deny", "*", vec![])
        .ingress("shop/open", "app=db", everything())
        .check(&[
            "192.0.2.1 10.0.0.2 sctp/9 allow",
            "192.0.2.1 10.0.0.2 icmp allow",
            "node-b@172.16.0.1 10.0.0.2 tcp/1 allow",
            "192.0.2.1 10.0.0.1 tcp/1 deny",
        ]);
}

#[test]
fn each_side_is_reported() {
    let verdict = shop()
        .ingress("shop/deny", "app=db", vec![])
        .judge(OUTSIDE, DB, "tcp/80");
    assert_eq!(verdict.egress, crate::verdict::Side::NotAPod);
    assert_eq!(
        verdict.ingress.denied_by(),
        ["shop/deny".parse().expect("a key")]
    );
}
