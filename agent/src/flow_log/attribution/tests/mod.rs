//! Who did what to whom, and why not.

mod moves;

use std::time::Duration;

use policy_compiler::decode;
use policy_compiler::model::{Labels, Namespace, NodeScope, Phase, PodAddresses};
use policy_compiler::ruleset::DropPoint;
use serde_json::{Value, json};

use super::*;
use crate::flow_log::event::Reason;
use crate::flow_log::packet::{Packet, PacketTransport, TcpFlags};
use crate::flow_log::sighting::Extent;

/// A pod of node-a.
pub(in crate::flow_log) fn pod(key: &str, address: &str) -> Pod {
    Pod {
        key: key.parse().expect("a key"),
        uid: format!("uid of {key}").into(),
        labels: Labels::new([("app", key.split('/').next_back().unwrap_or_default())]),
        addresses: PodAddresses::new([address.parse().expect("an address")]),
        node: Some(Name::parse("node-a").expect("a name")),
        ports: [].into(),
        phase: Phase::Running,
        host_network: false,
        workload: None,
    }
}

struct World {
    compiler: Compiler,
    attribution: Attribution,
    now: SystemTime,
    /// Addresses that the last event gave to others.
    moved: Vec<IpAddr>,
}

impl World {
    /// `shop/db` admits `app=api` to TCP 5432 and `app=web` to TCP 8443; `shop/web` may talk to nobody.
    fn new() -> Self {
        let node = Name::parse("node-a").expect("a name");
        let mut world = Self {
            compiler: Compiler::new(NodeScope::Node(node.clone())),
            attribution: Attribution::new(node),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
            moved: Vec::new(),
        };
        let name = Name::parse("shop").expect("a name");
        let labels = Labels::default();
        world.take(Event::Namespace(Namespace { name, labels }));
        world.take(Event::Pod(pod("shop/db", "10.0.0.2")));
        world.take(Event::Pod(pod("shop/web", "10.0.0.1")));
        world.take(Event::Pod(Pod {
            host_network: true,
            node: Name::parse("node-b").ok(),
            ..pod("kube-system/proxy", "172.30.0.12")
        }));
        world.policy("db", &json!({
            "podSelector": { "matchLabels": { "app": "db" } },
            "ingress": [
                { "from": [{ "podSelector": { "matchLabels": { "app": "api" } } }], "ports": [{ "port": 5432 }] },
                { "from": [{ "podSelector": { "matchLabels": { "app": "web" } } }], "ports": [{ "port": 8443 }, { "port": "sql" }] },
            ],
        }));
        world.policy(
            "web",
            &json!({
                "podSelector": { "matchLabels": { "app": "web" } }, "policyTypes": ["Egress"],
            }),
        );
        world.settle();
        world
    }

    fn policy(&mut self, name: &str, spec: &Value) {
        let object = json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": spec });
        let decoded = decode::policy(&object);
        assert_eq!(decoded.errors, []);
        self.take(Event::Policy(decoded.object.expect("a policy")));
    }

    fn take(&mut self, event: Event) {
        self.now += Duration::from_millis(1);
        self.moved = self.attribution.before(&event, &self.compiler, self.now);
        self.compiler.apply(event);
    }

    /// Everything is in the kernel, and has been for a while.
    fn settle(&mut self) {
        self.attribution
            .in_force(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        self.attribution.in_force(self.now, self.now);
        self.now += Duration::from_secs(10);
    }

    fn explain(&self, sighting: &Sighting) -> FlowEvent {
        self.attribution.explain(sighting, &self.compiler)
    }

    /// A SYN to TCP `port` that the chain of `of` dropped just now.
    fn syn(
        &self,
        direction: Direction,
        of: &Pod,
        source: &str,
        destination: &str,
        port: u16,
    ) -> Sighting {
        let address = |text: &str| text.parse().expect("an address");
        Sighting {
            point: DropPoint {
                direction,
                of: DropOf::Pod(PodId::of(&of.key, &of.uid)),
            },
            packet: Some(Packet {
                source: address(source),
                destination: address(destination),
                transport: PacketTransport::Tcp {
                    source_port: 40000,
                    destination_port: port,
                    flags: Some(TcpFlags(0x02)),
                },
            }),
            time: self.now,
            input: None,
            output: None,
            extent: Extent::First,
        }
    }
}

fn key_of(end: &End) -> String {
    match &end.who {
        Who::Pod(pod) => format!("{} {}", pod.key, pod.uid),
        Who::Contested(keys) => format!("{keys:?}"),
        Who::Node(name) => format!("node {name}"),
        Who::World => "world".to_owned(),
    }
}

fn codes(event: &FlowEvent) -> Vec<&'static str> {
    event.hints.iter().map(|hint| hint.code).collect()
}

#[test]
fn a_denial_has_its_policies_and_near_misses() {
    let world = World::new();
    let db = pod("shop/db", "10.0.0.2");
    let event = world.explain(&world.syn(Direction::Ingress, &db, "10.0.0.1", "10.0.0.2", 5432));
    assert_eq!(key_of(&event.source), "shop/web uid of shop/web");
    assert_eq!(key_of(&event.destination), "shop/db uid of shop/db");
    let Reason::NoRule {
        isolating,
        near_misses,
        more: 0,
    } = &event.reason
    else {
        panic!("{:?}", event.reason);
    };
    assert_eq!(isolating, &["shop/db".parse().expect("a key")]);
    assert_eq!(
        near_misses,
        &[
            "shop/db ingress[1]: peer matches; named port sql is not defined for TCP on shop/db, port TCP 5432 not in \
             TCP 8443",
            "shop/db ingress[0]: ports match; pod labels app=web do not satisfy app=api",
        ]
    );
    assert_eq!(codes(&event), ["named-port", "other-side"]);
}

/// Rows: who dropped it, source, destination, port, and the hints.
#[test]
fn hints_by_row() {
    let world = World::new();
    let (db, web) = (pod("shop/db", "10.0.0.2"), pod("shop/web", "10.0.0.1"));
    let rows = [
        (
            Direction::Ingress,
            &db,
            "172.30.0.12",
            "10.0.0.2",
            5432,
            "node node-b",
            vec!["masqueraded"],
        ),
        (
            Direction::Ingress,
            &db,
            "10.0.0.77",
            "10.0.0.2",
            5432,
            "world",
            vec!["node-range"],
        ),
        (
            Direction::Ingress,
            &db,
            "192.0.2.1",
            "10.0.0.2",
            5432,
            "world",
            vec![],
        ),
        (
            Direction::Egress,
            &web,
            "10.0.0.1",
            "172.30.0.12",
            80,
            "node node-b",
            vec!["host-network-peer"],
        ),
        (
            Direction::Egress,
            &web,
            "10.0.0.1",
            "192.0.2.1",
            53,
            "world",
            vec!["dns-blocked"],
        ),
        (
            Direction::Egress,
            &web,
            "10.0.0.1",
            "10.0.0.2",
            80,
            "shop/db uid of shop/db",
            vec!["other-side"],
        ),
    ];
    for (direction, of, source, destination, port, peer, expected) in rows {
        let event = world.explain(&world.syn(direction, of, source, destination, port));
        let end = match direction {
            Direction::Ingress => &event.source,
            Direction::Egress => &event.destination,
        };
        assert_eq!(key_of(end), peer, "{source} {destination}");
        assert_eq!(codes(&event), expected, "{source} {destination}");
        assert!(
            matches!(event.reason, Reason::NoRule { .. }),
            "{:?}",
            event.reason
        );
    }
}

#[test]
fn a_packet_in_the_middle_of_a_connection_is_a_stray() {
    let world = World::new();
    let db = pod("shop/db", "10.0.0.2");
    for (flags, stray) in [(0x02, false), (0x12, true), (0x10, true), (0x04, true)] {
        let mut sighting = world.syn(Direction::Ingress, &db, "192.0.2.1", "10.0.0.2", 80);
        if let Some(Packet {
            transport: PacketTransport::Tcp {
                flags: of_packet, ..
            },
            ..
        }) = &mut sighting.packet
        {
            *of_packet = Some(TcpFlags(flags));
        }
        assert_eq!(
            codes(&world.explain(&sighting)).contains(&"stray-packet"),
            stray,
            "{flags:x}"
        );
    }
}

#[test]
fn a_drop_that_no_policy_asks_for_is_a_mismatch_unless_something_changed() {
    let mut world = World::new();
    let db = pod("shop/db", "10.0.0.2");
    let reason = |world: &World| {
        let sighting = world.syn(Direction::Ingress, &db, "10.0.0.1", "10.0.0.2", 8443);
        world.explain(&sighting).reason
    };
    let mismatch = reason(&world);
    assert!(
        matches!(&mismatch, Reason::Mismatch { verdict } if verdict.contains("allowed by shop/db ingress[1]")),
        "{mismatch:?}"
    );
    world.policy(
        "db-more",
        &json!({ "podSelector": { "matchLabels": { "app": "db" } } }),
    );
    assert_eq!(reason(&world), Reason::Changed);
    world.now += Duration::from_secs(30);
    assert_eq!(
        reason(&world),
        Reason::Changed,
        "the kernel has not been told yet"
    );
    world.settle();
    assert!(matches!(reason(&world), Reason::Mismatch { .. }));
    // A change elsewhere explains nothing.
    world.take(Event::Pod(pod("other/pod", "10.0.0.9")));
    assert!(matches!(reason(&world), Reason::Mismatch { .. }));
}

/// Whoever may send raw packets can make these, and must not be able to cry wolf.
#[test]
fn a_forged_packet_is_no_mismatch() {
    let world = World::new();
    let (db, web) = (pod("shop/db", "10.0.0.2"), pod("shop/web", "10.0.0.1"));
    for sighting in [
        world.syn(Direction::Ingress, &db, "10.0.0.2", "10.0.0.2", 5432),
        world.syn(Direction::Egress, &web, "10.0.0.1", "127.0.0.1", 80),
    ] {
        let event = world.explain(&sighting);
        assert_eq!(codes(&event), ["forged"]);
        assert!(
            matches!(&event.reason, Reason::NoRule { isolating, .. } if isolating.len() == 1),
            "{:?}",
            event.reason
        );
    }
}

#[test]
fn contested_addresses_and_unreadable_packets() {
    let mut world = World::new();
    world.take(Event::Pod(pod("pay/db", "10.0.0.2")));
    world.settle();
    let db = pod("shop/db", "10.0.0.2");
    let mut sighting = world.syn(Direction::Ingress, &db, "10.0.0.1", "10.0.0.2", 5432);
    sighting.point.of = DropOf::Contested;
    let event = world.explain(&sighting);
    assert_eq!(key_of(&event.destination), "[pay/db, shop/db]");
    assert!(
        matches!(&event.reason, Reason::Contested { isolating } if isolating.len() == 1),
        "{:?}",
        event.reason
    );
    sighting.packet = None;
    assert_eq!(world.explain(&sighting).reason, Reason::Unknown);
    let mut unreadable = world.syn(Direction::Ingress, &db, "10.0.0.1", "10.0.0.2", 5432);
    unreadable.packet = None;
    let event = world.explain(&unreadable);
    assert_eq!(key_of(&event.destination), "shop/db uid of shop/db");
    assert!(matches!(&event.reason, Reason::NoRule { isolating, .. } if isolating.len() == 1));
    // A pod that nobody has ever heard of.
    let stranger = pod("shop/stranger", "10.0.0.77");
    let event =
        world.explain(&world.syn(Direction::Ingress, &stranger, "10.0.0.1", "10.0.0.77", 1));
    assert_eq!(event.reason, Reason::Unknown);
}

/// Where no policy was asked, what policies say of the packet is neither a reason nor a hint, nor a mismatch.
#[test]
fn what_is_dropped_beside_policies() {
    let world = World::new();
    let db = pod("shop/db", "10.0.0.2");
    for (of, expected) in [
        (DropOf::NotProgrammed, Reason::NotProgrammed),
        (DropOf::ForgedSource, Reason::ForgedSource),
        (DropOf::Cut, Reason::Cut),
    ] {
        // The address of a pod and of nobody, and no address at all.
        for source in ["10.0.0.1", "10.0.0.77"] {
            let mut sighting = world.syn(Direction::Egress, &db, source, "10.0.0.2", 5432);
            sighting.point.of = of;
            let event = world.explain(&sighting);
            assert_eq!((&event.reason, &event.hints[..]), (&expected, &[][..]));
            assert_eq!(event.destination.address, Some([10, 0, 0, 2].into()));
            sighting.packet = None;
            assert_eq!(world.explain(&sighting).reason, expected);
        }
    }
}

/// Rules that drop by a pod's policies what is not from or to that pod are not ours, unless the address has just moved.
#[test]
fn a_chain_of_another_pod_is_a_mismatch() {
    let mut world = World::new();
    let db = pod("shop/db", "10.0.0.2");
    let is_mismatch = |world: &World, to: &str| {
        let sighting = world.syn(Direction::Ingress, &db, "10.0.0.9", to, 5432);
        matches!(world.explain(&sighting).reason, Reason::Mismatch { .. })
    };
    assert!(!is_mismatch(&world, "10.0.0.2"));
    assert!(is_mismatch(&world, "10.0.0.1"));
    world.take(Event::Pod(pod("shop/db", "10.0.0.3")));
    assert!(!is_mismatch(&world, "10.0.0.2") && !is_mismatch(&world, "10.0.0.3"));
    world.settle();
    assert!(is_mismatch(&world, "10.0.0.2") && !is_mismatch(&world, "10.0.0.3"));
}
