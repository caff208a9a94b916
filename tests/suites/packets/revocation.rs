//! What policies allow no longer ends although it has begun, at once and in both directions; what they allow goes on
//! without losing a packet; and the log names what was cut, and why.

#[path = "revocation/changes.rs"]
mod changes;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::jiff::Timestamp;
use netpol_tests::lab::{
    Agent, Lab, LabSpec, NODES, Place, PodSpec, ServicePort, ServiceSpec, Topology, manifests,
    privileged,
};
use policy_compiler::model::Protocol;
use serde_json::Value;

use crate::flow_log_ground::{awaited, flows, put};
use crate::long_lived::{Flows, Kind, Plan, Seen};
use crate::world::{CALLER, FAR, NEAR, STRANGER, addresses, at};
use changes::{Change, before, changes};

/// What is forbidden must have ended by then, half of it: one may have to wait for a machine that is busy.
const SOON: Duration = Duration::from_millis(500);
/// However busy that is.
const PATIENCE: Duration = Duration::from_secs(10);
/// It has ended if nothing comes through so often, one after the other, while both ends go on sending.
const TRIES: u32 = 80;
/// What must not be cut is watched for so long.
const WHILE: Duration = Duration::from_millis(400);

/// The Services of both callees: for each port that a flow has of its own.
fn services() -> Vec<ServiceSpec> {
    let service = |(number, callee): (u8, &str)| {
        let port = |protocol, port| ServicePort {
            protocol,
            port,
            node_port: None,
            backends: vec![(addresses(callee)[0], port + 1000).into()],
        };
        ServiceSpec {
            key: format!("conn/service-{number}"),
            cluster_ips: vec![cluster_address(number)],
            ports: (7100..7102)
                .flat_map(|number| [Protocol::Tcp, Protocol::Udp].map(|of| port(of, number)))
                .collect(),
        }
    };
    [(1, NEAR), (2, FAR)].into_iter().map(service).collect()
}

fn cluster_address(number: u8) -> IpAddr {
    [10, 96, 0, number].into()
}

/// Both protocols directly by both families and through a Service, and echoes.
fn plans(client: &str) -> Vec<Plan> {
    let number = u16::from(client == STRANGER);
    let mut plans = Vec::new();
    for (service, callee) in [(1, NEAR), (2, FAR)] {
        let mut add = |kind, via: SocketAddr, server: SocketAddr| {
            plans.push(Plan {
                kind,
                from: at(client),
                to: at(callee),
                via,
                server,
            });
        };
        for kind in [Kind::Tcp, Kind::Udp] {
            for address in addresses(callee) {
                let direct = SocketAddr::new(address, 7000 + number);
                add(kind, direct, direct);
            }
            let via = SocketAddr::new(cluster_address(service), 7100 + number);
            add(kind, via, (addresses(callee)[0], 8100 + number).into());
        }
        for address in addresses(callee) {
            add(Kind::Echo, (address, 0).into(), (address, 0).into());
        }
    }
    plans
}

/// What the node itself does with its own pod.
fn of_the_node() -> Vec<Plan> {
    let direct = |kind, address| Plan {
        kind,
        from: Place::node("node-a"),
        to: at(NEAR),
        via: (address, 7200).into(),
        server: (address, 7200).into(),
    };
    [Kind::Tcp, Kind::Udp]
        .into_iter()
        .flat_map(|kind| addresses(NEAR).map(|address| direct(kind, address)))
        .collect()
}

fn build(topology: Topology, more: &[&str]) -> (Lab, PathBuf) {
    let node = |key: &str| NODES[usize::from(key == FAR)].name.to_owned();
    let pods = [CALLER, NEAR, FAR, STRANGER].map(|key| PodSpec {
        key: key.to_owned(),
        node: node(key),
        addresses: addresses(key).to_vec(),
    });
    let spec = LabSpec {
        pods: pods.to_vec(),
        services: services(),
        ..LabSpec::default()
    };
    let mut lab = Lab::build(topology, spec).unwrap_or_else(|error| panic!("{topology}: {error}"));
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    put(&folder, &before());
    let more = more.iter().map(|&argument| argument.to_owned());
    let arguments: Vec<String> = manifests(&folder).into_iter().chain(more).collect();
    for node in &NODES {
        lab.start_agent(node.name, &arguments)
            .and_then(|()| lab.wait_ready(node.name))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    (lab, folder)
}

fn describe<'a>(plans: &'a [Plan], seen: &'a [Seen], is_wrong: impl Fn(&Seen) -> bool) -> String {
    let wrong = plans.iter().zip(seen).filter(|(_, seen)| is_wrong(seen));
    wrong.fold(String::new(), |mut text, (plan, seen)| {
        let _ = writeln!(text, "  {plan:?}: {seen:?}");
        text
    })
}

fn logs(lab: &Lab) -> String {
    let agents = NODES.iter().filter_map(|node| lab.agent(node.name));
    agents.map(Agent::log).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Changes the world; when each node's agent came to know, by its own log. It looks at its folder four times a second.
fn tell(lab: &Lab, folder: &Path, text: &str) -> [SystemTime; 2] {
    let readings = |node: &str| -> Vec<SystemTime> {
        let log = lab.agent(node).expect("an agent").log();
        let lines = log
            .lines()
            .filter(|line| line.contains("manifest file read"));
        let time = |line: &str| line.split(' ').next()?.parse::<Timestamp>().ok();
        lines.filter_map(time).map(SystemTime::from).collect()
    };
    let before = NODES.each_ref().map(|node| readings(node.name).len());
    put(folder, text);
    let mut told = [SystemTime::UNIX_EPOCH; 2];
    for ((node, before), told) in NODES.iter().zip(before).zip(&mut told) {
        *told = awaited("the change is read", || {
            readings(node.name).get(before).copied()
        });
    }
    told
}

/// The place of the node among the labs' that objects to this flow.
fn judge(plan: &Plan, is_egress: bool) -> usize {
    usize::from(!is_egress && plan.to == at(FAR))
}

/// Waits until all of these have ended.
fn ended(lab: &Lab, plans: &[Plan], flows: &Flows) -> Vec<Seen> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = flows.seen();
        if seen.iter().all(|seen| seen.quiet >= TRIES) {
            return seen;
        }
        let alive = |seen: &Seen| seen.quiet < TRIES;
        assert!(
            Instant::now() < deadline,
            "{}: not ended:\n{}{}",
            lab.topology(),
            describe(plans, &seen, alive),
            logs(lab)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes the change, and waits until all of these have ended; how long after its node knew of the change each did.
fn cut(lab: &Lab, folder: &Path, change: &Change, plans: &[Plan], flows: &Flows) -> Vec<Duration> {
    let told = tell(lab, folder, &change.text);
    let seen = ended(lab, plans, flows);
    let after = |(plan, seen): (&Plan, &Seen)| {
        let start = told[judge(plan, change.is_egress)];
        seen.last.duration_since(start).unwrap_or_default()
    };
    let took: Vec<Duration> = plans.iter().zip(&seen).map(after).collect();
    for (plan, seen) in plans.iter().zip(&seen) {
        assert!(
            seen.is_broken || plan.kind != Kind::Tcp,
            "{}, {}: its ends were not told: {plan:?}: {seen:?}\n{}",
            lab.topology(),
            change.name,
            logs(lab)
        );
    }
    took
}

/// What has not been told that it is over goes on when it may. Returns how long it took until the last did.
fn allow_again(lab: &Lab, folder: &Path, plans: &[Plan], flows: &Flows) -> Duration {
    let told = tell(lab, folder, &before());
    let known = told.into_iter().max().expect("two nodes");
    let is_back = |(plan, seen): (&Plan, &Seen)| plan.kind == Kind::Tcp || seen.last > known;
    loop {
        let late = known.elapsed().unwrap_or_default();
        if plans.iter().zip(&flows.seen()).all(is_back) {
            return late;
        }
        let dead = describe(plans, &flows.seen(), |seen| seen.last < known);
        assert!(
            late < PATIENCE,
            "{}: not again:\n{dead}{}",
            lab.topology(),
            logs(lab)
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Each of them is told by the node that cut it, with both ends, the policy and the cause.
fn assert_told(lab: &Lab, change: &Change, plans: &[Plan], ports: &[u16]) {
    for (plan, port) in plans.iter().zip(ports) {
        let node = NODES[judge(plan, change.is_egress)].name;
        let is_it = |flow: &Value| {
            let own = &flow["extensions"]["value"];
            let (l4, sides) = (&flow["l4"], ["ingress_denied_by", "egress_denied_by"]);
            let source_port = |key: &str| l4[key]["source_port"].as_u64() == Some((*port).into());
            let is_kind = match plan.kind {
                Kind::Tcp => source_port("TCP"),
                Kind::Udp => source_port("UDP"),
                Kind::Echo => l4["ICMPv4"]["type"] == 8 || l4["ICMPv6"]["type"] == 128,
            };
            let (_, pod) = CALLER.split_once('/').expect("a key");
            own["reason"] == "revoked"
                && own["causes"] == Value::from(vec![change.cause])
                && is_kind
                && flow["source"]["pod_name"] == pod
                && flow["IP"]["destination"] == plan.server.ip().to_string()
                && flow[sides[usize::from(change.is_egress)]]
                    .as_array()
                    .is_some_and(|policies| {
                        policies.iter().any(|policy| policy["name"] == change.by)
                    })
        };
        let agent = lab.agent(node).expect("an agent");
        awaited(&format!("{}: {plan:?}", change.name), || {
            flows(&agent.flow_lines()).iter().any(is_it).then_some(())
        });
    }
}

#[test]
fn what_is_forbidden_ends_and_what_is_allowed_goes_on() {
    if !privileged("what_is_forbidden_ends_and_what_is_allowed_goes_on") {
        return;
    }
    for topology in Topology::ALL {
        let (lab, folder) = build(topology, &[]);
        let staying = [plans(STRANGER), of_the_node()].concat();
        let others = Flows::open(&lab, &staying);
        let (mut over, mut revived) = (Vec::new(), Vec::new());
        for change in changes() {
            let plans = plans(CALLER);
            let flows = Flows::open(&lab, &plans);
            let ports = flows.ports();
            over.extend(cut(&lab, &folder, &change, &plans, &flows));
            assert_told(&lab, &change, &plans, &ports);
            revived.push(allow_again(&lab, &folder, &plans, &flows));
        }
        others.hush();
        let seen = others.seen();
        let worse = describe(&staying, &seen, |seen| seen.missing > 0 || seen.is_broken);
        assert!(
            worse.is_empty(),
            "{topology}: allowed, and lost packets:\n{worse}{}",
            logs(&lab)
        );
        for times in [&over, &revived] {
            assert!(median(times.clone()) < SOON, "{topology}: {times:?}");
        }
        println!(
            "{topology}: {} connections ended after a median of {:?}, {:?} at most; allowed again, the last went on after {:?} \
             at most",
            over.len(),
            median(over.clone()),
            over.iter().max(),
            revived.iter().max(),
        );
    }
}

/// Another pod has the address from one moment to the next, and is allowed less.
#[test]
fn a_new_pod_inherits_nothing_with_its_address() {
    if !privileged("a_new_pod_inherits_nothing_with_its_address") {
        return;
    }
    let (lab, folder) = build(Topology::RoutedVeth, &[]);
    let plans = plans(CALLER);
    let flows = Flows::open(&lab, &plans);
    let heir = before().replace(
        "{ name: caller, namespace: conn, labels: { role: caller } }",
        "{ name: heir, namespace: conn, labels: { role: none } }",
    );
    assert_ne!(heir, before());
    put(&folder, &heir);
    ended(&lab, &plans, &flows);
}

/// Policies changed while no agent ran.
#[test]
fn an_agent_looks_when_it_starts() {
    if !privileged("an_agent_looks_when_it_starts") {
        return;
    }
    let (mut lab, folder) = build(Topology::Bridge, &[]);
    let plans = plans(CALLER);
    let flows = Flows::open(&lab, &plans);
    for node in &NODES {
        lab.stop_agent(node.name, netpol_tests::lab::Signal::SIGKILL)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    put(&folder, &changes()[0].text);
    for node in &NODES {
        lab.start_agent(node.name, &manifests(&folder))
            .and_then(|()| lab.wait_ready(node.name))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    ended(&lab, &plans, &flows);
    let agent = lab.agent("node-a").expect("an agent");
    awaited("what was cut is told", || {
        agent
            .flow_lines()
            .contains("the agent started")
            .then_some(())
    });
}

/// With `--existing-connections keep` they are left alone (rule L3).
#[test]
fn what_is_kept_goes_on() {
    if !privileged("what_is_kept_goes_on") {
        return;
    }
    let (lab, folder) = build(Topology::RoutedVeth, &["--existing-connections=keep"]);
    let plans = plans(CALLER);
    let flows = Flows::open(&lab, &plans);
    for change in changes() {
        let _ = tell(&lab, &folder, &change.text);
        std::thread::sleep(WHILE);
    }
    flows.hush();
    let seen = flows.seen();
    let worse = describe(&plans, &seen, |seen| seen.missing > 0 || seen.is_broken);
    assert!(worse.is_empty(), "{worse}");
}
