//! On a bridge an address belongs to the port of its pod: who sends with another pod's is not heard.

#[path = "source_ports/bindings.rs"]
mod bindings;
#[path = "source_ports/frames.rs"]
mod frames;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use netpol_tests::lab::{
    Agent, Expect, IpProtocol, Ipv4Header, Ipv6Header, Lab, Place, Probe, Token, Topology,
    Transport, manifests, privileged, send_raw, tcp_syn, udp_request, uninterrupted,
};

use crate::world::{CALLER, FAR, NEAR, POLICIES, STRANGER, addresses, at, build, check, objects};

const BRIDGES: [Topology; 2] = [Topology::Bridge, Topology::Vxlan];

const NODE: &str = "node-a";

/// Packets cross the lab in microseconds; a loaded machine may take longer to hand them out.
const DENIED_WITHIN: Duration = Duration::from_millis(500);
const ARRIVED_WITHIN: Duration = Duration::from_secs(20);
/// Counters are read every ten seconds.
const COUNTED_WITHIN: Duration = Duration::from_secs(30);
/// Somebody else's edits of the table are found.
const REPAIRED_WITHIN: Duration = Duration::from_secs(30);

/// The lab with an agent on the node where most pods are, and the folder it is fed from.
fn guarded(topology: Topology, arguments: &[&str]) -> (Lab, PathBuf) {
    let mut lab = build(topology);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("world.yaml"), objects() + POLICIES).expect("a file");
    start(&mut lab, &folder, arguments);
    (lab, folder)
}

fn start(lab: &mut Lab, folder: &std::path::Path, arguments: &[&str]) {
    let mut all = manifests(folder);
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    lab.start_agent(NODE, &all)
        .unwrap_or_else(|error| panic!("{error}"));
    lab.wait_ready(NODE)
        .unwrap_or_else(|error| panic!("{error}"));
    if !arguments.contains(&"off") && lab.topology().has_bridge() {
        until(lab, "a table", |listing| !listing.is_empty());
    }
}

/// The table of ports; nothing if it is not there.
fn listing(lab: &Lab) -> String {
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    let list = ["nft", "--stateless", "list", "table", "bridge", "netpol"];
    netns.run(&list, "").unwrap_or_default()
}

fn until(lab: &Lab, what: &str, is_so: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + REPAIRED_WITHIN;
    while !is_so(&listing(lab)) {
        assert!(
            Instant::now() < deadline,
            "{what}:\n{}\n{}",
            listing(lab),
            lab.agent(NODE).map(Agent::log).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The request `source → destination`, as a packet.
fn request(source: SocketAddr, destination: SocketAddr, protocol: IpProtocol) -> Vec<u8> {
    let transport = match protocol {
        IpProtocol::Tcp => tcp_syn(source, destination),
        _ => udp_request(source, destination, 0),
    };
    let number = protocol.number(source.is_ipv4());
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ipv4Header {
            source: from,
            destination: to,
            protocol: number,
            id: source.port(),
            fragment_offset: 0,
            more_fragments: false,
            options: Vec::new(),
        }
        .encode(&transport),
        (IpAddr::V6(from), IpAddr::V6(to)) => Ipv6Header {
            source: from,
            destination: to,
            next_header: number,
        }
        .encode(&transport),
        _ => panic!("of one family"),
    }
}

/// What `sender` sends in the name of `victim` to `receiver`, over both families and protocols, by what arrives of it.
fn forge(lab: &Lab, sender: &str, victim: &[IpAddr], receiver: &str, numbers: u16) -> Vec<String> {
    forge_within(DENIED_WITHIN, lab, sender, (victim, receiver), numbers)
}

fn forge_within(
    time: Duration,
    lab: &Lab,
    sender: &str,
    (victim, receiver): (&[IpAddr], &str),
    numbers: u16,
) -> Vec<String> {
    let mut shots = Vec::new();
    for source in victim {
        for to in addresses(receiver)
            .iter()
            .filter(|to| to.is_ipv4() == source.is_ipv4())
        {
            for (protocol, port) in [(IpProtocol::Tcp, 80), (IpProtocol::Udp, 53)] {
                let number = numbers + u16::try_from(shots.len()).expect("few");
                let packet = request((*source, number).into(), (*to, port).into(), protocol);
                shots.push((
                    format!("{source} → {to} {protocol:?}"),
                    Token { protocol, number },
                ));
                let to = *to;
                let netns = lab.host(&at(sender)).expect("a pod").netns();
                let sent = netns.call(move || send_raw(&[packet], to)).expect("alive");
                assert!(
                    sent.as_ref().is_ok()
                        || sent
                            .as_ref()
                            .is_err_and(|e| e.kind() == ErrorKind::PermissionDenied),
                    "{sent:?}"
                );
            }
        }
    }
    let deadline = Instant::now() + time;
    loop {
        let arrived = shots
            .iter()
            .filter(|(_, token)| lab.has_arrived(&at(receiver), *token));
        let arrived: Vec<String> = arrived.map(|(name, _)| name.clone()).collect();
        if arrived.len() == shots.len() || Instant::now() > deadline {
            return arrived;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the policies allow and what they deny.
fn verdicts() -> Vec<Probe> {
    let mut probes = Vec::new();
    for address in [addresses(NEAR), addresses(FAR)].concat() {
        for transport in [Transport::Tcp(80), Transport::Udp(53)] {
            probes.push(Probe::new(&at(CALLER), address, transport));
            // The other node has no agent.
            if addresses(NEAR).contains(&address) {
                probes.push(Probe::new(&at(STRANGER), address, transport).expect(Expect::Silence));
            }
        }
    }
    probes
}

#[test]
fn a_pod_of_a_bridge_cannot_send_as_another() {
    if !privileged("a_pod_of_a_bridge_cannot_send_as_another") {
        return;
    }
    for topology in BRIDGES {
        let (lab, _) = guarded(topology, &["--source-guard", "off"]);
        assert_eq!(listing(&lab), "", "{topology}");
        let way = (&addresses(CALLER)[..], NEAR);
        let arrived = forge_within(ARRIVED_WITHIN, &lab, STRANGER, way, 20_000);
        assert_eq!(
            arrived.len(),
            4,
            "{topology}: without the guard all arrive: {arrived:?}"
        );

        let (mut lab, folder) = guarded(topology, &[]);
        check(&mut lab, &verdicts());
        for (victim, receiver) in [(CALLER, NEAR), (NEAR, NEAR), (CALLER, FAR)] {
            let arrived = forge(&lab, STRANGER, &addresses(victim), receiver, 20_100);
            assert_eq!(
                arrived,
                Vec::<String>::new(),
                "{topology}: as {victim} to {receiver}"
            );
        }
        told_as_forged(&lab);
        // What an agent has left is taken away when the guard is switched off.
        start(&mut lab, &folder, &["--source-guard", "off"]);
        assert_eq!(listing(&lab), "", "{topology}");
    }
}

/// The flow log says what it was, and by which port it came.
fn told_as_forged(lab: &Lab) {
    let deadline = Instant::now() + ARRIVED_WITHIN;
    let agent = lab.agent(NODE).expect("an agent");
    let is_told = |line: &str| {
        line.to_lowercase().contains("forged") && line.contains("pod") && line.contains("interface")
    };
    while !agent.flow_lines().lines().any(is_told) {
        assert!(
            Instant::now() < deadline,
            "nothing is told: {}",
            agent.flow_lines()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    let deadline = Instant::now() + COUNTED_WITHIN;
    loop {
        let (_, metrics) = agent.get(netns, "/metrics").expect("metrics");
        let line = metrics
            .lines()
            .find(|line| line.starts_with("netpol_bridge_forged_packets_total{kind=\"source\"}"));
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        if count >= Some(8) {
            return;
        }
        assert!(Instant::now() < deadline, "{line:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_gets_into_anothers_connection() {
    if !privileged("nothing_gets_into_anothers_connection") {
        return;
    }
    for guard in ["off", "on"] {
        let (lab, _) = guarded(Topology::Bridge, &["--source-guard", guard]);
        for (source, to) in addresses(CALLER).into_iter().zip(addresses(NEAR)) {
            let socket = |pod: &str, address: SocketAddr| {
                let netns = lab.host(&at(pod)).expect("a pod").netns();
                let opened = netns.call(move || UdpSocket::bind(address));
                opened.expect("alive").expect("a socket")
            };
            let (from, to) = (SocketAddr::new(source, 20_200), SocketAddr::new(to, 53));
            let (caller, near) = (socket(CALLER, from), socket(NEAR, to));
            let mut buffer = [0; 64];
            let mut heard = |within| {
                near.set_read_timeout(Some(within)).expect("a time");
                let received = uninterrupted(|| near.recv_from(&mut buffer));
                received.ok().map(|(length, _)| length)
            };
            caller.send_to(b"mine", to).expect("sent");
            assert_eq!(heard(ARRIVED_WITHIN), Some(4));
            near.send_to(b"yours", from).expect("sent");
            let packet = request(from, to, IpProtocol::Udp);
            let netns = lab.host(&at(STRANGER)).expect("a pod").netns();
            let sent = netns
                .call(move || send_raw(&[packet], to.ip()))
                .expect("alive");
            assert!(sent.is_ok(), "{sent:?}");
            if guard == "off" {
                assert!(heard(ARRIVED_WITHIN).is_some(), "{source}");
            } else {
                assert_eq!(heard(DENIED_WITHIN), None, "{source}");
            }
            // The connection goes on.
            caller.send_to(b"again", to).expect("sent");
            assert_eq!(heard(ARRIVED_WITHIN), Some(5));
        }
    }
}
