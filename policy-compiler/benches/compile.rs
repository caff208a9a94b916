//! What compiling costs, and how it grows with the cluster: 1,000 policies, 100 local pods, everything dual stack.
//!
//! `compile_from_scratch` reads all objects; the others are one event on a running [`Compiler`], commands included.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use divan::{Bencher, black_box};
use policy_compiler::compile::compile;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{
    Direction, IpBlock, Labels, Name, NamedPort, Namespace, NamespaceScope, NodeScope, ObjectKey,
    Peer, Peers, Phase, Pod, PodAddresses, PodPeer, Policy, PortMatch, PortName, PortRange, Ports,
    Protocol, Requirement, Rule, Selector, Workload,
};

const PODS: [u32; 3] = [1_000, 10_000, 100_000];
const NAMESPACES: u32 = 100;
const POLICIES: u32 = 1_000;
const LOCAL_PODS: u32 = 100;
/// The one local pod of its namespace.
const LONELY_POD: u32 = LOCAL_PODS - 1;

fn main() {
    print_memory();
    divan::main();
}

/// What stays resident. Nothing is freed in between, or the next measure would find its memory there already.
fn print_memory() {
    let mut kept = Vec::new();
    for pods in PODS {
        let before = resident_bytes();
        let model: Vec<Pod> = (0..pods).map(pod).collect();
        let each = resident_bytes().saturating_sub(before) / model.len();
        println!("slim model, {pods} pods: {each} bytes a pod");
        let before = resident_bytes();
        let mut compiler = filled(pods);
        let each = resident_bytes().saturating_sub(before) / model.len();
        let sets = compiler.ruleset().sets.values();
        let elements: usize = sets.map(|set| set.elements.len()).sum();
        let chains = compiler.ruleset().chains.len();
        println!(
            "compiler with index and ruleset, {pods} pods: {each} bytes a pod; \
             {chains} chains, {elements} set elements"
        );
        kept.push((model, compiler));
    }
}

#[divan::bench(args = PODS, sample_count = 20)]
fn compile_from_scratch(bencher: Bencher, pods: u32) {
    let compiler = filled(pods);
    bencher.bench_local(|| compile(black_box(compiler.snapshot()), &scope()));
}

/// A pod on another node gets a label that takes it in and out of peers' sets.
#[divan::bench(args = PODS)]
fn a_remote_pod_changes(bencher: Bencher, pods: u32) {
    change_pod(bencher, pods, LOCAL_PODS, "app-9");
}

/// The same for one of this node's own; the policies in use stay the same.
#[divan::bench(args = PODS)]
fn a_local_pod_changes(bencher: Bencher, pods: u32) {
    change_pod(bencher, pods, 0, "app-9");
}

/// A pod of this node leaves the only policies of its namespace that select few, and comes back: their peers' sets
/// are made anew, so this costs what those sets hold.
#[divan::bench(args = PODS)]
fn a_local_pod_puts_policies_in_use(bencher: Bencher, pods: u32) {
    change_pod(bencher, pods, LONELY_POD, "app-9");
}

fn change_pod(bencher: Bencher, pods: u32, index: u32, app: &str) {
    let mut compiler = filled(pods);
    let plain = pod(index);
    let changed = Pod {
        labels: Labels::new(plain.labels.iter().chain([("app", app)])),
        ..plain.clone()
    };
    let mut next = [changed, plain].into_iter().cycle();
    bencher
        .with_inputs(|| next.next().map(Event::Pod))
        .bench_local_values(|event| {
            event.into_iter().for_each(|event| compiler.apply(event));
            compiler.take_transaction()
        });
}

/// A policy with subjects on this node gets one more rule.
#[divan::bench(args = PODS)]
fn a_policy_changes(bencher: Bencher, pods: u32) {
    let mut compiler = filled(pods);
    let plain = policy(0);
    let mut changed = plain.clone();
    changed.ingress.get_or_insert_default().push(Rule {
        peers: Peers::Any,
        ports: tcp(9),
    });
    let mut next = [changed, plain].into_iter().cycle();
    bencher
        .with_inputs(|| next.next().map(Event::Policy))
        .bench_local_values(|event| {
            event.into_iter().for_each(|event| compiler.apply(event));
            compiler.take_transaction()
        });
}

fn scope() -> NodeScope {
    NodeScope::Node(name("node-0"))
}

fn filled(pods: u32) -> Compiler {
    let mut compiler = Compiler::new(scope());
    (0..NAMESPACES).for_each(|i| compiler.apply(Event::Namespace(namespace(i))));
    (0..pods).for_each(|i| compiler.apply(Event::Pod(pod(i))));
    (0..POLICIES).for_each(|i| compiler.apply(Event::Policy(policy(i))));
    compiler.take_transaction();
    compiler
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn namespace_name(index: u32) -> Name {
    name(&format!("namespace-{}", index % NAMESPACES))
}

fn namespace(index: u32) -> Namespace {
    Namespace::new(
        namespace_name(index),
        &Labels::new([("team", format!("team-{}", index % 10))]),
    )
}

/// Pods go round the namespaces; the first hundred are local, four to a namespace but for the lonely one. Labels as a
/// Deployment's pods have them.
fn pod(index: u32) -> Pod {
    let home = if index < LONELY_POD {
        index % 25
    } else {
        index
    };
    let app = index / NAMESPACES % 10;
    let labels = [
        ("app", format!("app-{app}")),
        ("app.kubernetes.io/name", format!("app-{app}")),
        (
            "app.kubernetes.io/instance",
            format!("release-{}", index % 7),
        ),
        ("app.kubernetes.io/managed-by", "Helm".to_owned()),
        (
            "pod-template-hash",
            format!("{:010x}", u64::from(index) * 0x9e37_79b9),
        ),
        (
            "tier",
            ["front", "middle", "back"][(index % 3) as usize].to_owned(),
        ),
    ];
    let addresses = [
        IpAddr::from(Ipv4Addr::from(0x0a00_0001 + index)),
        IpAddr::from(Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(index))),
    ];
    let node = if index < LOCAL_PODS {
        0
    } else {
        1 + index / LOCAL_PODS
    };
    let http = NamedPort {
        name: PortName::parse("http").unwrap_or_else(|error| panic!("{error}")),
        protocol: Protocol::Tcp,
        number: 8080,
    };
    Pod {
        key: ObjectKey::new(
            namespace_name(home),
            name(&format!("app-{app}-{index:010x}-x7k2p")),
        ),
        uid: format!("8a3f2c1e-0000-4000-8000-{index:012x}").into(),
        labels: Labels::new(labels),
        addresses: PodAddresses::new(addresses),
        node: Some(name(&format!("node-{node}"))),
        ports: [http].into(),
        phase: Phase::Running,
        host_network: false,
        workload: Some(Workload::new("Deployment", &format!("app-{app}"))),
    }
}

/// Ten policies a namespace: a default deny, application peers, other teams' namespaces, DNS, address blocks.
fn policy(index: u32) -> Policy {
    let kind = index / NAMESPACES;
    let namespace = namespace_name(index);
    let app = |n: u32| Selector::new([Requirement::equals("app", &format!("app-{}", n % 10))]);
    let team = Selector::new([Requirement::equals("team", &format!("team-{}", index % 10))]);
    let own = |pods| {
        Peer::Pods(PodPeer {
            namespaces: NamespaceScope::Named(namespace.clone()),
            pods,
        })
    };
    let of_team = |pods| {
        Peer::Pods(PodPeer {
            namespaces: NamespaceScope::Matching(team.clone()),
            pods,
        })
    };
    let (subjects, direction, peers, ports) = match kind {
        0 => (Selector::everything(), Direction::Ingress, None, Ports::Any),
        1 => (
            Selector::everything(),
            Direction::Egress,
            Some(vec![block()]),
            udp(53),
        ),
        2 => (
            Selector::everything(),
            Direction::Ingress,
            Some(vec![of_team(Selector::everything())]),
            named(),
        ),
        3 => (
            app(0),
            Direction::Egress,
            Some(vec![of_team(app(kind)), block()]),
            tcp(443),
        ),
        _ => (
            app(0),
            Direction::Ingress,
            Some(vec![own(app(kind)), own(app(kind + 1))]),
            tcp(8080),
        ),
    };
    let rules: Vec<Rule> = peers
        .into_iter()
        .map(|p| Rule {
            peers: Peers::OneOf(p),
            ports: ports.clone(),
        })
        .collect();
    let (ingress, egress) = match direction {
        Direction::Ingress => (Some(rules), None),
        Direction::Egress => (None, Some(rules)),
    };
    let key = ObjectKey::new(namespace.clone(), name(&format!("policy-{kind}")));
    Policy {
        key,
        subjects,
        ingress,
        egress,
    }
}

fn block() -> Peer {
    let block = IpBlock::new("10.0.0.0/8".parse().unwrap_or_default(), &[]);
    Peer::IpBlock(block.unwrap_or_else(|error| panic!("{error}")))
}

fn tcp(port: u16) -> Ports {
    Ports::OneOf(
        PortRange::single(port)
            .map(|range| PortMatch::Numbers(Protocol::Tcp, range))
            .into_iter()
            .collect(),
    )
}

fn udp(port: u16) -> Ports {
    Ports::OneOf(
        PortRange::single(port)
            .map(|range| PortMatch::Numbers(Protocol::Udp, range))
            .into_iter()
            .collect(),
    )
}

fn named() -> Ports {
    Ports::OneOf(
        PortName::parse("http")
            .map(|name| PortMatch::Named(Protocol::Tcp, name))
            .into_iter()
            .collect(),
    )
}

/// `VmRSS`
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: Option<usize> =
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0) * 1024
}
