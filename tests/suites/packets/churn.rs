//! An address goes from pod to pod: packets are told of as those of the pod that had it when they were dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use netpol_agent::flow_log::format::hubble::{Endpoint, Flow};
use netpol_tests::lab::{Lab, Place, Signal, Topology, manifests, privileged, send_raw};

use crate::ledger::{Ledger, Random, awaited, flows, packet};
use crate::world::{CALLER, NEAR, STRANGER, addresses, at, build};

const NODE: &str = "node-a";
const MOVES: u64 = 10;

/// Where nobody listens.
const PORT: u16 = 7777;

/// What the address's pods have to do with the drops.
#[derive(Clone, Copy)]
struct Row {
    /// Who is isolated, and how.
    subject: &'static str,
    direction: &'static str,
    /// Who sends to whom; the address that moves is the stranger's.
    from: &'static str,
    to: &'static str,
    /// The end that moves.
    end: fn(&Flow) -> Option<&Endpoint>,
    uid: fn(&Flow) -> Option<&str>,
}

fn source(flow: &Flow) -> Option<&Endpoint> {
    flow.source.as_ref()
}

fn destination(flow: &Flow) -> Option<&Endpoint> {
    flow.destination.as_ref()
}

fn source_uid(flow: &Flow) -> Option<&str> {
    Some(&flow.extensions.as_deref()?.source.uid)
}

fn destination_uid(flow: &Flow) -> Option<&str> {
    Some(&flow.extensions.as_deref()?.destination.uid)
}

/// One life of a pod at the address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Life {
    name: String,
    uid: String,
}

/// The cluster while this pod has the address. Each move changes a set, by which it shows in the rules.
fn world(row: &Row, life: &Life, turn: u64) -> String {
    let Row {
        subject, direction, ..
    } = row;
    let pod = |name: &str, uid: &str, role: &str, key: &str| {
        let [v4, v6] = addresses(key);
        format!(
            "---\napiVersion: v1\nkind: Pod\n\
             metadata: {{ name: {name}, namespace: conn, uid: {uid}, labels: {{ role: {role}, turn: \"{}\" }} }}\n\
             spec: {{ nodeName: {NODE}, containers: [{{ name: main, image: pause }}] }}\n\
             status: {{ phase: Running, podIPs: [{{ ip: {v4} }}, {{ ip: \"{v6}\" }}] }}\n",
            turn % 2
        )
    };
    [
        "---\napiVersion: v1\nkind: Namespace\nmetadata: { name: conn }\n".to_owned(),
        pod("near", "near-1", "near", NEAR),
        pod("caller", "caller-1", "caller", CALLER),
        pod(&life.name, &life.uid, "mover", STRANGER),
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{ name: closed, namespace: conn }}\n\
             spec:\n  podSelector: {{ matchLabels: {{ role: {subject} }} }}\n  policyTypes: [{direction}]\n  \
             {}: [{{ {}: [{{ podSelector: {{ matchLabels: {{ turn: \"1\", role: mover }} }} }}], ports: [{{ port: 9 }}] }}]\n",
            direction.to_lowercase(),
            if *direction == "Egress" { "to" } else { "from" },
        ),
    ]
    .concat()
}

struct Stage {
    lab: Lab,
    folder: PathBuf,
    row: Row,
    /// All that was dropped so far.
    dropped: u64,
}

impl Stage {
    fn put(&self, life: &Life, turn: u64) {
        let draft = self.folder.join(".world.new");
        std::fs::write(&draft, world(&self.row, life, turn)).expect("a file");
        std::fs::rename(draft, self.folder.join("world.yaml")).expect("a file in place of the old");
    }

    fn rules(&self) -> String {
        let node = self.lab.host(&Place::node(NODE)).expect("a node").netns();
        // Not what guards the ports: it changes by itself, when the pod does.
        let list = ["nft", "--stateless", "list", "table", "inet", "netpol"];
        node.run(&list, "")
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends so many packets and waits until all are dropped.
    fn send(&mut self, each: u64, random: &mut Random) {
        let sender = self.lab.host(&at(self.row.from)).expect("a pod").netns();
        for (from, to) in addresses(self.row.from)
            .into_iter()
            .zip(addresses(self.row.to))
        {
            let packets: Vec<Vec<u8>> = (0..each)
                .map(|_| {
                    let from = SocketAddr::new(from, random.port());
                    packet(from, SocketAddr::new(to, PORT), false)
                })
                .collect();
            sender
                .call(move || send_raw(&packets, to))
                .expect("alive")
                .expect("packets are sent");
            self.dropped += each;
        }
        let dropped = || {
            self.lab
                .counters(NODE)
                .expect("counters")
                .values()
                .sum::<u64>()
        };
        // Counters of a name go on.
        let told = awaited(|| dropped() >= self.dropped);
        assert!(told, "{} of {} were dropped", dropped(), self.dropped);
    }
}

fn moves(topology: Topology, row: Row) {
    let mut random = Random::seeded();
    let lab = build(topology);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    let mut stage = Stage {
        lab,
        folder,
        row,
        dropped: 0,
    };
    let life = |name: u64, turn: u64| Life {
        name: format!("mover-{name}"),
        uid: format!("uid-{turn}"),
    };
    let (mut name, mut sent) = (0, BTreeMap::new());
    stage.put(&life(name, 0), 0);
    let mut arguments = manifests(&stage.folder);
    arguments.extend(["--flow-log-window", "2s"].map(str::to_owned));
    stage
        .lab
        .start_agent(NODE, &arguments)
        .and_then(|()| stage.lab.wait_ready(NODE))
        .unwrap_or_else(|error| panic!("{error}"));
    for turn in 0..=MOVES {
        let each = 1 + random.below(6);
        stage.send(each, &mut random);
        sent.insert(life(name, turn), 2 * each);
        // So that moves come at any time of a window.
        std::thread::sleep(Duration::from_millis(random.below(1500) * random.below(2)));
        if turn == MOVES {
            break;
        }
        // Another pod, or the same one made anew, whose counters are the old ones.
        if random.below(2) == 0 {
            name = turn + 1;
        }
        let before = stage.rules();
        let counters = stage.lab.counters(NODE).expect("counters");
        stage.put(&life(name, turn + 1), turn + 1);
        assert!(awaited(|| stage.rules() != before), "turn {turn}");
        let now = stage.lab.counters(NODE).expect("counters");
        stage.dropped = now.values().sum();
        assert!(now.values().sum::<u64>() <= counters.values().sum());
    }
    let (_, lines) = stage
        .lab
        .stop_agent_with_flows(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut told: BTreeMap<Life, u64> = BTreeMap::new();
    for flow in flows(&lines) {
        let (end, uid) = ((row.end)(&flow), (row.uid)(&flow));
        let life = Life {
            name: end.expect("an end").pod_name.clone(),
            uid: uid.expect("a uid").to_owned(),
        };
        *told.entry(life).or_default() += flow.extensions.map_or(0, |extensions| extensions.count);
    }
    assert_eq!(told, sent, "{lines}");
    let ledger = Ledger::of(&lines);
    assert_eq!(ledger.sum(), sent.values().sum::<u64>(), "{ledger}");
}

#[test]
fn the_pod_that_may_not_send() {
    if privileged("the_pod_that_may_not_send") {
        moves(
            Topology::RoutedVeth,
            Row {
                subject: "mover",
                direction: "Egress",
                from: STRANGER,
                to: NEAR,
                end: source,
                uid: source_uid,
            },
        );
    }
}

#[test]
fn the_pod_that_is_not_let_in() {
    if privileged("the_pod_that_is_not_let_in") {
        moves(
            Topology::Bridge,
            Row {
                subject: "near",
                direction: "Ingress",
                from: STRANGER,
                to: NEAR,
                end: source,
                uid: source_uid,
            },
        );
    }
}

#[test]
fn the_pod_that_lets_nobody_in() {
    if privileged("the_pod_that_lets_nobody_in") {
        moves(
            Topology::RoutedVeth,
            Row {
                subject: "mover",
                direction: "Ingress",
                from: CALLER,
                to: STRANGER,
                end: destination,
                uid: destination_uid,
            },
        );
    }
}
