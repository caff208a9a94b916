//! What a verdict says to people.

use super::{World, block, container_ports, everything, from, pods_in, pods_of, ports, rule};
use crate::model::{Peers, Ports};
use crate::verdict::{Side, judge_between};

fn world() -> World {
    World::new()
        .pod("shop/web", "10.0.0.1", "app=web")
        .special_pod("shop/db", "10.0.0.2", "app=db", |pod| {
            pod.ports = container_ports(&["sql=tcp/5432"]);
        })
        .ingress("shop/default-deny", "*", vec![])
}

fn explained(world: &World, source: &str, destination: &str, transport: &str) -> String {
    world.judge(source, destination, transport).to_string()
}

#[test]
fn a_denial_names_the_policies_and_what_came_near() {
    let world = world().ingress(
        "shop/allow-api",
        "app=db",
        vec![
            rule(
                from([pods_of("team=pay", "*")]),
                ports(&["tcp/8080", "udp/53"]),
            ),
            rule(from([pods_in("shop", "app=api")]), ports(&["tcp/sql"])),
            rule(
                from([pods_in("shop", "app=web")]),
                ports(&["tcp/8443", "tcp/metrics"]),
            ),
        ],
    );
    similar_asserts::assert_eq!(
        explained(&world, "10.0.0.1", "10.0.0.2", "tcp/5432"),
        "\
shop/web -> shop/db TCP 5432: DENIED
  egress  of shop/web: not isolated
  ingress of shop/db:  isolated by shop/allow-api, shop/default-deny; no rule allows it
    shop/allow-api ingress[2]: peer matches; named port metrics is not defined for TCP on shop/db, port TCP 5432 not in TCP 8443
    shop/allow-api ingress[1]: ports match; pod labels app=web do not satisfy app=api
    shop/allow-api ingress[0]: namespace shop labels team=shop do not satisfy team=pay; port TCP 5432 not in TCP 8080, UDP 53"
    );
}

#[test]
fn of_many_near_misses_the_nearest_are_explained() {
    let far = || rule(from([pods_in("pay", "*")]), ports(&["udp/53"]));
    let near = rule(from([pods_in("shop", "app=web")]), ports(&["tcp/8443"]));
    let world = world().ingress("shop/allow-api", "app=db", vec![far(), far(), near, far()]);
    let whole = world.judge("10.0.0.1", "10.0.0.2", "tcp/5432");
    let owners = |address| -> Vec<&crate::model::Pod> {
        let pods = world.0.pods.values();
        pods.filter(|pod| pod.addresses.iter().any(|a| a == super::ip(address)))
            .map(AsRef::as_ref)
            .collect()
    };
    let short = judge_between(
        &world.0,
        &whole.flow,
        &owners("10.0.0.1"),
        &owners("10.0.0.2"),
        2,
    );
    let (
        Side::Denied {
            near_misses: all,
            more: 0,
            ..
        },
        Side::Denied {
            near_misses: nearest,
            more: 2,
            ..
        },
    ) = (&whole.ingress, &short.ingress)
    else {
        panic!("{whole}\n{short}");
    };
    assert_eq!((all.len(), &all[..2]), (4, nearest.as_slice()));
    assert_eq!(nearest[0].rule.index, 2);
    assert!(
        short.to_string().ends_with("    and 2 more rules"),
        "{short}"
    );
}

#[test]
fn an_approval_names_the_rule_and_its_items() {
    let allowed = world().ingress(
        "shop/allow",
        "app=db",
        vec![rule(
            from([pods_in("shop", "app=web")]),
            ports(&["tcp/sql"]),
        )],
    );
    similar_asserts::assert_eq!(
        explained(&allowed, "10.0.0.1", "10.0.0.2", "tcp/5432"),
        "\
shop/web -> shop/db TCP 5432: ALLOWED
  egress  of shop/web: not isolated
  ingress of shop/db:  allowed by shop/allow ingress[0] (pods app=web in namespace shop, TCP sql)"
    );
    similar_asserts::assert_eq!(
        explained(
            &world().ingress("shop/open", "app=db", everything()),
            "192.0.2.1",
            "10.0.0.2",
            "icmp"
        ),
        "\
192.0.2.1 -> shop/db ICMP or other: ALLOWED
  egress  of 192.0.2.1: not a pod, no policy applies
  ingress of shop/db:   allowed by shop/open ingress[0] (any peer, any port)"
    );
}

#[test]
fn exemptions_are_told() {
    similar_asserts::assert_eq!(
        explained(&world(), "node-a@172.16.0.1", "10.0.0.2", "tcp/80"),
        "\
node node-a (172.16.0.1) -> shop/db TCP 80: ALLOWED
  egress  of node node-a (172.16.0.1): not a pod, no policy applies
  ingress of shop/db:                  isolated, but its own node may always connect"
    );
    assert!(
        explained(&world(), "10.0.0.2", "10.0.0.2", "tcp/80")
            .contains("a pod may always talk to itself")
    );
    let contested = world().pod("pay/db", "10.0.0.2", "");
    assert!(
        explained(&contested, "10.0.0.1", "10.0.0.2", "tcp/80").contains(
            "isolated by shop/default-deny; nobody can tell whose address 10.0.0.2 (claimed by pay/db and shop/db) is"
        )
    );
}

/// Rows: one rule, the source, the port, and the reason given.
#[test]
fn reasons() {
    let peers = |peer| rule(from([peer]), Ports::Any);
    let port = |item| rule(Peers::Any, ports(&[item]));
    let rows = [
        (
            peers(pods_in("pay", "app=api")),
            "10.0.0.3",
            "pod pay/fe lacks app=api",
        ),
        (
            peers(pods_in("shop", "*")),
            "10.0.0.3",
            "the pod is in namespace pay, not shop",
        ),
        (
            peers(pods_of("zone=x", "*")),
            "10.0.0.3",
            "namespace pay lacks zone=x",
        ),
        (
            peers(pods_of("*", "*")),
            "10.0.0.4",
            "the labels of namespace lost are not known",
        ),
        (
            peers(pods_of("*", "*")),
            "192.0.2.1",
            "192.0.2.1 is not a pod, only an ipBlock could match it",
        ),
        (
            peers(block("192.0.2.0/24", &["192.0.2.0/28"])),
            "192.0.2.1",
            "192.0.2.1 is in except 192.0.2.0/28 of 192.0.2.0/24",
        ),
        (
            peers(block("192.0.3.0/24", &[])),
            "192.0.2.1",
            "192.0.2.1 is not in 192.0.3.0/24",
        ),
        (
            rule(Peers::OneOf(vec![]), Ports::Any),
            "192.0.2.1",
            "none of its peers is valid",
        ),
        (
            rule(Peers::Any, Ports::OneOf(vec![])),
            "192.0.2.1",
            "none of its ports is valid",
        ),
        (port("tcp/80"), "192.0.2.1", "port TCP 5433 not in TCP 80"),
        (
            port("tcp/sql"),
            "192.0.2.1",
            "named port sql on shop/db is TCP 5432",
        ),
        (
            port("tcp/web"),
            "192.0.2.1",
            "named port web is not defined for TCP on shop/db",
        ),
        (port("udp/sql"), "192.0.2.1", "port TCP 5433 not in UDP sql"),
    ];
    for (rule, source, expected) in rows {
        let text = format!("{rule:?}");
        let world = world()
            .pod("pay/fe", "10.0.0.3", "role=fe")
            .pod("lost/fe", "10.0.0.4", "role=fe")
            .ingress("shop/p", "app=db", vec![rule]);
        let told = explained(&world, source, "10.0.0.2", "tcp/5433");
        let told = told.rsplit("; ").next().unwrap_or_default();
        assert_eq!(told, expected, "{text}");
    }
}

#[test]
fn long_lists_are_cut() {
    let blocks = (0..40).map(|i| block(&format!("10.1.{i}.0/24"), &[]));
    let world = world().ingress("shop/p", "app=db", vec![rule(from(blocks), Ports::Any)]);
    let told = explained(&world, "192.0.2.1", "10.0.0.2", "tcp/80");
    assert!(
        told.ends_with("192.0.2.1 is not in 10.1.2.0/24 and 37 more"),
        "{told}"
    );
}
