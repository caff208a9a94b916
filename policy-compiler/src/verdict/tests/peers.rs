//! Rules B1 to B8, C1 to C6 and E1 to E7: who a peer item matches.

use super::{World, block, from, pods_in, pods_of, rule};
use crate::model::{Peer, Ports};

/// shop/db is the subject; one rule with the given peers, any port.
fn world(peers: impl IntoIterator<Item = Peer>) -> World {
    World::new()
        .pod("shop/db", "10.0.0.1 fd00::1", "app=db")
        .pod("shop/web", "10.0.0.2 fd00::2", "app=web")
        .pod("pay/web", "10.0.0.3 fd00::3", "app=web")
        .pod("pay/job", "10.0.0.4 fd00::4", "app=job")
        .pod("lost/web", "10.0.0.5 fd00::5", "app=web")
        .ingress("shop/p", "app=db", vec![rule(from(peers), Ports::Any)])
}

/// Rows: the peers, and which of shop/web, pay/web, pay/job, lost/web, the outside host and node-b get in. `lost` has
/// no Namespace object.
#[test]
fn peer_combinations() {
    let rows: Vec<(Vec<Peer>, [bool; 6])> = vec![
        (
            vec![pods_in("shop", "*")],
            [true, false, false, false, false, false],
        ),
        (
            vec![pods_in("shop", "app=web")],
            [true, false, false, false, false, false],
        ),
        (vec![pods_in("shop", "app=job")], [false; 6]),
        (
            vec![pods_of("*", "*")],
            [true, true, true, false, false, false],
        ),
        (
            vec![pods_of("team=pay", "*")],
            [false, true, true, false, false, false],
        ),
        (
            vec![pods_of("team=shop", "*")],
            [true, false, false, false, false, false],
        ),
        (
            vec![pods_of("*", "app=web")],
            [true, true, false, false, false, false],
        ),
        (
            vec![pods_of("team=pay", "app=web")],
            [false, true, false, false, false, false],
        ),
        (
            vec![pods_of("team=pay", "*"), pods_in("shop", "app=web")],
            [true, true, true, false, false, false],
        ),
        (vec![block("0.0.0.0/0", &[])], [true; 6]),
        (
            vec![block("10.0.0.0/29", &["10.0.0.4/31"])],
            [true, true, false, false, false, false],
        ),
        (
            vec![
                block("10.0.0.0/29", &["10.0.0.4/31"]),
                block("10.0.0.4/32", &[]),
            ],
            [true, true, true, false, false, false],
        ),
        (
            vec![block("192.0.2.0/24", &[])],
            [false, false, false, false, true, false],
        ),
        (
            vec![block("172.16.0.2/32", &[])],
            [false, false, false, false, false, true],
        ),
        (vec![block("::/0", &[])], [false; 6]),
        (vec![], [false; 6]),
    ];
    let sources = [
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.4",
        "10.0.0.5",
        "192.0.2.1",
        "node-b@172.16.0.2",
    ];
    for (peers, expected) in rows {
        let shown: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let world = world(peers);
        let allowed = sources.map(|source| world.judge(source, "10.0.0.1", "tcp/80").is_allowed());
        assert_eq!(allowed, expected, "{shown:?} from {sources:?}");
    }
}

#[test]
fn a_pod_of_an_unknown_namespace_matches_in_its_own_namespace() {
    World::new()
        .pod("lost/db", "10.0.0.1", "app=db")
        .pod("lost/web", "10.0.0.2", "app=web")
        .ingress(
            "lost/p",
            "app=db",
            vec![rule(from([pods_in("lost", "app=web")]), Ports::Any)],
        )
        .check(&["10.0.0.2 10.0.0.1 tcp/80 allow"]);
}

#[test]
fn the_name_label_of_a_namespace_is_a_label() {
    world([pods_of("kubernetes.io/metadata.name=pay", "*")]).check(&[
        "10.0.0.3 10.0.0.1 tcp/80 allow",
        "10.0.0.2 10.0.0.1 tcp/80 deny",
    ]);
}

#[test]
fn blocks_are_of_one_family() {
    world([block("0.0.0.0/0", &[])]).check(&[
        "10.0.0.2 10.0.0.1 tcp/80 allow",
        "fd00::2 fd00::1 tcp/80 deny",
    ]);
    world([block("::/0", &[])]).check(&[
        "10.0.0.2 10.0.0.1 tcp/80 deny",
        "fd00::2 fd00::1 tcp/80 allow",
    ]);
}

/// Rule E10: link-local, unique local and translated addresses are IPv6 too.
#[test]
fn everything_of_a_family_is_everything() {
    let sources = ["fe80::1", "fc00::1", "64:ff9b::1", "2001:db8::1", "::1"];
    let world = world([block("::/0", &[])]);
    for source in sources {
        world.check(&[format!("{source} fd00::1 tcp/80 allow").as_str()]);
    }
}

#[test]
fn selectors_match_every_address_of_a_pod() {
    world([pods_of("team=pay", "*")]).check(&[
        "10.0.0.3 10.0.0.1 tcp/80 allow",
        "fd00::3 fd00::1 tcp/80 allow",
    ]);
}

#[test]
fn egress_peers_are_destinations() {
    World::new()
        .pod("shop/web", "10.0.0.2", "app=web")
        .pod("pay/db", "10.0.0.3", "app=db")
        .egress(
            "shop/p",
            "app=web",
            vec![rule(
                from([
                    pods_of("team=pay", "app=db"),
                    block("192.0.2.0/24", &["192.0.2.9/32"]),
                ]),
                Ports::Any,
            )],
        )
        .check(&[
            "10.0.0.2 10.0.0.3 tcp/80 allow",
            "10.0.0.3 10.0.0.2 tcp/80 allow",
            "10.0.0.2 192.0.2.1 tcp/80 allow",
            "10.0.0.2 192.0.2.9 tcp/80 deny",
            "10.0.0.2 node-a@172.16.0.1 tcp/80 deny",
        ]);
}
