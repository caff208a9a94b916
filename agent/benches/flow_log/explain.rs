//! What the first packet of a flow costs in the event loop: whose it was, why it was dropped, and its line.

use std::time::SystemTime;

use divan::{Bencher, black_box};
use netpol_agent::flow_log::attribution::Attribution;
use netpol_agent::flow_log::event::Line;
use netpol_agent::flow_log::format::Format;
use netpol_agent::flow_log::packet::{Packet, PacketTransport, TcpFlags};
use netpol_agent::flow_log::sighting::{Extent, Sighting};
use policy_compiler::decode;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{Direction, Name, NodeScope, Pod};
use policy_compiler::ruleset::{DropOf, DropPoint, PodId};
use serde_json::{Value, json};

const PODS: u32 = 10_000;

/// A pod's drop, with 1 to 1,000 rules of which none matches, in a cluster of 10,000 pods.
#[divan::bench(args = [1, 10, 100, 1000])]
fn explain(bencher: Bencher, rules: u32) {
    let (compiler, attribution, sighting) = world(rules);
    bencher.bench_local(|| attribution.explain(black_box(&sighting), &compiler));
}

/// The same to a line of the default format.
#[divan::bench(args = [1, 10, 100, 1000])]
fn explain_and_format(bencher: Bencher, rules: u32) {
    let (compiler, attribution, sighting) = world(rules);
    bencher.bench_local(|| {
        let event = attribution.explain(black_box(&sighting), &compiler);
        Format::Hubble.write(&Line::Flow(Box::new(event)))
    });
}

/// What it costs that a pod of another node changes.
#[divan::bench]
fn note_a_change(bencher: Bencher) {
    let (compiler, mut attribution, _) = world(1);
    let changed = pod(7, &json!({ "app": "other" }));
    let event = Event::Pod(changed);
    bencher.bench_local(|| attribution.before(black_box(&event), &compiler, SystemTime::now()));
}

fn world(rules: u32) -> (Compiler, Attribution, Sighting) {
    let node = Name::parse("node-0").unwrap_or_else(|error| panic!("{error}"));
    let mut compiler = Compiler::new(NodeScope::Node(node.clone()));
    let mut attribution = Attribution::new(node);
    let mut take = |event: Event| {
        attribution.before(&event, &compiler, SystemTime::UNIX_EPOCH);
        compiler.apply(event);
    };
    for index in 0..PODS {
        take(Event::Pod(pod(
            index,
            &json!({ "app": format!("app-{}", index % 50) }),
        )));
    }
    let rule = |index: u32| {
        let labels = json!({ "app": format!("app-{}", 100 + index) });
        json!({ "from": [{ "podSelector": { "matchLabels": labels } }], "ports": [{ "port": 80 }] })
    };
    let rules: Vec<Value> = (0..rules).map(rule).collect();
    let policy = decode::policy(&json!({
        "metadata": { "name": "policy", "namespace": "shop" },
        "spec": { "podSelector": {}, "ingress": rules },
    }));
    take(Event::Policy(
        policy
            .object
            .unwrap_or_else(|| panic!("{:?}", policy.errors)),
    ));
    attribution.in_force(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
    let (subject, peer) = (pod(0, &Value::Null), pod(1, &Value::Null));
    let address = |pod: &Pod| {
        pod.addresses
            .iter()
            .next()
            .unwrap_or_else(|| panic!("no address"))
    };
    let sighting = Sighting {
        point: DropPoint {
            direction: Direction::Ingress,
            of: DropOf::Pod(PodId::of(&subject.key, &subject.uid)),
        },
        packet: Some(Packet {
            source: address(&peer),
            destination: address(&subject),
            transport: PacketTransport::Tcp {
                source_port: 40_000,
                destination_port: 5432,
                flags: Some(TcpFlags(2)),
            },
        }),
        time: SystemTime::now(),
        input: None,
        output: None,
        extent: Extent::First,
    };
    (compiler, attribution, sighting)
}

/// One of a hundred nodes' pods.
fn pod(index: u32, labels: &Value) -> Pod {
    let [_, _, high, low] = index.to_be_bytes();
    let decoded = decode::pod(&json!({
        "metadata": { "name": format!("pod-{index}"), "namespace": "shop", "uid": format!("uid-{index}"), "labels": labels },
        "spec": { "nodeName": format!("node-{}", index % 100) },
        "status": { "phase": "Running", "podIP": format!("10.1.{high}.{low}") },
    }));
    decoded
        .object
        .unwrap_or_else(|| panic!("{:?}", decoded.errors))
}
