//! On a bridge an address belongs to the port of its pod: who sends with another pod's is not heard.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use netpol_tests::lab::{
    Expect, IpProtocol, Ipv4Header, Ipv6Header, Lab, Place, PodSpec, Probe, Signal, Token,
    Topology, Transport, arp_reply, frame, manifests, neighbour_advertisement, own_mac, privileged,
    send_frames, send_raw, tcp_syn, udp_request,
};

use crate::world::{
    CALLER, FAR, NEAR, POLICIES, STRANGER, addresses, at, build, check, eventually, objects,
};

const BRIDGES: [Topology; 2] = [Topology::Bridge, Topology::Vxlan];

const NODE: &str = "node-a";

/// Packets cross the lab in microseconds; a loaded machine may take longer to hand them out.
const DENIED_WITHIN: Duration = Duration::from_millis(500);
const ARRIVED_WITHIN: Duration = Duration::from_secs(5);
/// Somebody else's edits of the table are found.
const REPAIRED_WITHIN: Duration = Duration::from_secs(10);

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

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
            lab.agent(NODE).map(|agent| agent.log()).unwrap_or_default()
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
    let deadline = Instant::now() + DENIED_WITHIN;
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
        let arrived = forge(&lab, STRANGER, &addresses(CALLER), NEAR, 20_000);
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
                let opened = netns.call(move || {
                    let socket = UdpSocket::bind(address)?;
                    socket.set_read_timeout(Some(DENIED_WITHIN))?;
                    Ok::<_, std::io::Error>(socket)
                });
                opened.expect("alive").expect("a socket")
            };
            let (from, to) = (SocketAddr::new(source, 20_200), SocketAddr::new(to, 53));
            let (caller, near) = (socket(CALLER, from), socket(NEAR, to));
            let mut buffer = [0; 64];
            let mut heard = || near.recv_from(&mut buffer).ok().map(|(length, _)| length);
            caller.send_to(b"mine", to).expect("sent");
            assert_eq!(heard(), Some(4));
            near.send_to(b"yours", from).expect("sent");
            let packet = request(from, to, IpProtocol::Udp);
            let netns = lab.host(&at(STRANGER)).expect("a pod").netns();
            let sent = netns
                .call(move || send_raw(&[packet], to.ip()))
                .expect("alive");
            assert!(sent.is_ok(), "{sent:?}");
            assert_eq!(heard().is_some(), guard == "off", "{source}, guard {guard}");
            // The connection goes on.
            caller.send_to(b"again", to).expect("sent");
            assert_eq!(heard(), Some(5));
        }
    }
}

/// Where a pod's neighbours are, as it knows them.
fn neighbour(lab: &Lab, pod: &str, address: IpAddr) -> String {
    let netns = lab.host(&at(pod)).expect("a pod").netns();
    let all = netns.run(&["ip", "neighbour", "show", &address.to_string()], "");
    let all = all.unwrap_or_else(|error| panic!("{error}"));
    let mac = all.split("lladdr ").nth(1).unwrap_or_default();
    mac.split(' ').next().unwrap_or_default().to_owned()
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

fn mac_of(lab: &Lab, pod: &str) -> [u8; 6] {
    let netns = lab.host(&at(pod)).expect("a pod").netns();
    netns.call(own_mac).expect("alive").expect("an address")
}

/// Neither another pod nor the gateway is where a pod says that has not their address.
#[test]
fn neighbours_are_not_where_a_forger_says() {
    if !privileged("neighbours_are_not_where_a_forger_says") {
        return;
    }
    for guard in ["off", "on"] {
        let (mut lab, _) = guarded(Topology::Bridge, &["--source-guard", guard]);
        let [gateway_v4, gateway_v6] = netpol_tests::lab::NODES[0].gateways();
        let [caller_v4, caller_v6] = addresses(CALLER);
        let known = [caller_v4, caller_v6, gateway_v4, gateway_v6];
        // Now the callee knows where the caller is, and its gateway.
        let probes: Vec<Probe> = addresses(NEAR)
            .into_iter()
            .flat_map(|to| {
                let probe = |from: &Place| Probe::new(from, to, Transport::Tcp(80));
                [probe(&at(CALLER)), probe(&Place::node(NODE))]
            })
            .collect();
        check(&mut lab, &probes);
        let [forger, near] = [STRANGER, NEAR].map(|pod| mac_of(&lab, pod));
        let text = forger.map(|byte| format!("{byte:02x}")).join(":");
        let [near_v4, near_v6] = addresses(NEAR);
        let [_, own] = addresses(STRANGER);
        for victim in known {
            let before = neighbour(&lab, NEAR, victim);
            assert!(!before.is_empty() && before != text, "{victim}: {before}");
            let frames = vec![match (v4(victim), v6(victim)) {
                (Some(victim), _) => {
                    let to = (near, v4(near_v4).expect("v4"));
                    frame(near, forger, &[], ARP, &arp_reply(forger, victim, to))
                }
                (_, Some(victim)) => {
                    let [own, to] = [own, near_v6].map(|address| v6(address).expect("v6"));
                    let told = neighbour_advertisement(own, to, victim, forger);
                    frame(near, forger, &[], IPV6, &told)
                }
                _ => continue,
            }];
            let netns = lab.host(&at(STRANGER)).expect("a pod").netns();
            let sent = netns.call(move || send_frames(&frames)).expect("alive");
            sent.expect("sent");
            let deadline = Instant::now() + DENIED_WITHIN;
            while neighbour(&lab, NEAR, victim) == before && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let is_fooled = neighbour(&lab, NEAR, victim) == text;
            // The kernel believes no reply to what it knows for sure, for a second.
            assert!(!is_fooled || guard == "off", "{victim} is at the forger's");
            if guard == "off" && victim == caller_v6 {
                assert!(
                    is_fooled,
                    "without the guard {victim} can be taken, or this proves nothing"
                );
            }
        }
        check(&mut lab, &probes[..1]);
    }
}

/// Tagged for VLAN 0, which means none, a frame is taken by its receiver, and netfilter on the bridge passes over it.
#[test]
fn a_tag_is_no_way_around() {
    if !privileged("a_tag_is_no_way_around") {
        return;
    }
    for guard in ["off", "on"] {
        let (lab, _) = guarded(Topology::Bridge, &["--source-guard", guard]);
        let [from, to] = [STRANGER, NEAR].map(|pod| mac_of(&lab, pod));
        let mut tokens = Vec::new();
        for (source, target) in addresses(STRANGER).into_iter().zip(addresses(NEAR)) {
            for tags in [&[0][..], &[0, 0], &[0xe000]] {
                let number = 20_300 + u16::try_from(tokens.len()).expect("few");
                let protocol = IpProtocol::Udp;
                let packet = request((source, number).into(), (target, 53).into(), protocol);
                let kind = if source.is_ipv4() { IPV4 } else { IPV6 };
                let frames = [frame(to, from, tags, kind, &packet)];
                let netns = lab.host(&at(STRANGER)).expect("a pod").netns();
                let sent = netns.call(move || send_frames(&frames)).expect("alive");
                sent.expect("sent");
                tokens.push(Token { protocol, number });
            }
        }
        let count = || {
            tokens
                .iter()
                .filter(|t| lab.has_arrived(&at(NEAR), **t))
                .count()
        };
        let deadline = Instant::now() + DENIED_WITHIN;
        while count() < tokens.len() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let expected = if guard == "off" { tokens.len() } else { 0 };
        assert_eq!(count(), expected, "guard {guard}");
    }
}

#[test]
fn who_takes_anothers_address_later_gains_nothing() {
    if !privileged("who_takes_anothers_address_later_gains_nothing") {
        return;
    }
    let (mut lab, folder) = guarded(Topology::Bridge, &[]);
    check(&mut lab, &verdicts());
    let before = listing(&lab);
    let take = |lab: &Lab, what: &str| {
        let netns = lab.host(&at(STRANGER)).expect("a pod").netns();
        let [v4, v6] = addresses(CALLER);
        let lines =
            format!("address {what} {v4}/32 dev eth0\naddress {what} {v6}/128 dev eth0 nodad\n");
        netns.ip(&lines).unwrap_or_else(|error| panic!("{error}"));
    };
    let forged: Vec<Probe> = addresses(NEAR)
        .into_iter()
        .zip(addresses(CALLER))
        .map(|(to, source)| {
            let probe = Probe::new(&at(STRANGER), to, Transport::Tcp(80));
            probe.source(source).expect(Expect::Silence)
        })
        .collect();
    take(&lab, "add");
    check(&mut lab, &forged);
    check(&mut lab, &verdicts());
    // Not while there is no agent, nor from the one that comes after it.
    lab.stop_agent(NODE, Signal::SIGKILL)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(listing(&lab), before);
    check(&mut lab, &forged);
    start(&mut lab, &folder, &[]);
    check(&mut lab, &forged);
    check(&mut lab, &verdicts());
    assert_eq!(listing(&lab), before);
    // Not even where the table had gone: the forger has an address of its own.
    let node = lab.host(&Place::node(NODE)).expect("a node").netns();
    node.nft("delete table bridge netpol\n")
        .unwrap_or_else(|error| panic!("{error}"));
    until(&lab, "the table is back", |listing| listing == before);
    check(&mut lab, &forged);
    lab.stop_agent(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    let node = lab.host(&Place::node(NODE)).expect("a node").netns();
    node.nft("delete table bridge netpol\n")
        .unwrap_or_else(|error| panic!("{error}"));
    start(&mut lab, &folder, &[]);
    until(&lab, "everybody is bound", |listing| listing == before);
    lab.await_log(NODE, "forged: an address of this pod")
        .unwrap_or_else(|error| panic!("{error}"));
    check(&mut lab, &verdicts());
}

/// As when a pod is deleted, and its address soon given out again.
#[test]
fn an_address_goes_to_the_next_pod() {
    if !privileged("an_address_goes_to_the_next_pod") {
        return;
    }
    const NEXT: &str = "conn/next";
    let (mut lab, folder) = guarded(Topology::Bridge, &[]);
    check(&mut lab, &verdicts());
    lab.remove_pod(CALLER)
        .unwrap_or_else(|error| panic!("{error}"));
    let next = PodSpec {
        key: NEXT.to_owned(),
        node: NODE.to_owned(),
        addresses: addresses(CALLER).to_vec(),
    };
    lab.add_pods(vec![next])
        .unwrap_or_else(|error| panic!("{error}"));
    let text = (objects() + POLICIES).replace("name: caller,", "name: next,");
    std::fs::write(folder.join("world.yaml"), text).expect("a file");
    let probes: Vec<Probe> = addresses(NEAR)
        .into_iter()
        .map(|to| Probe::new(&at(NEXT), to, Transport::Tcp(80)))
        .collect();
    eventually(&mut lab, "the next pod is heard", &probes);
    let arrived = forge(&lab, STRANGER, &addresses(CALLER), NEAR, 20_400);
    assert_eq!(arrived, Vec::<String>::new());
}

/// A node without bridges has no such table, and one whose pods have gone has it no more.
#[test]
fn the_table_is_there_only_where_it_is_needed() {
    if !privileged("the_table_is_there_only_where_it_is_needed") {
        return;
    }
    let (mut lab, _) = guarded(Topology::RoutedVeth, &[]);
    check(&mut lab, &verdicts());
    assert_eq!(listing(&lab), "");
    let (lab, folder) = guarded(Topology::Bridge, &[]);
    assert!(listing(&lab).contains("set bound4"));
    let rest = objects().replace("nodeName: node-a", "nodeName: node-b");
    std::fs::write(folder.join("world.yaml"), rest + POLICIES).expect("a file");
    until(&lab, "no pod is here", str::is_empty);
}

/// What the rules say, as `nft` reads them.
const RULES: &str = r#"
	chain ports {
		type filter hook prerouting priority dstnat; policy accept;
		meta iifkind != "veth" accept
		iif @passages accept
		vlan id 0 goto tagged
		ether type 8021ad vlan id 0 goto tagged
		ip saddr @guarded4 iif . ip saddr != @bound4 goto forged
		ip6 saddr @guarded6 iif . ip6 saddr != @bound6 goto forged
		arp saddr ip @guarded4 iif . arp saddr ip != @bound4 goto forged-neighbour
		icmpv6 type nd-neighbor-advert @th,64,128 @guarded6 iif . @th,64,128 != @bound6 goto forged-neighbour
	}

	chain forged {
		limit rate 100/second burst 500 packets log prefix "netpol/egress/forged-source" group 9808 snaplen 128
		counter name "forged" drop
	}

	chain forged-neighbour {
		counter name "forged-neighbour" drop
	}

	chain tagged {
		counter name "tagged" drop
	}
}
"#;

/// Whatever another program does to the table is undone, and `netpol verify` sees it until then.
#[test]
fn the_table_is_kept_as_it_should_be() {
    if !privileged("the_table_is_kept_as_it_should_be") {
        return;
    }
    let (mut lab, folder) = guarded(Topology::Bridge, &[]);
    let right = listing(&lab);
    // Newer nft has a name for the target of an advertisement.
    let read = right.replace("icmpv6 taddr", "@th,64,128");
    assert!(read.ends_with(RULES), "{right}");
    let [caller, _] = addresses(CALLER);
    let bound = right
        .lines()
        .find(|line| line.contains(&format!("\" . {caller}")));
    let port = bound
        .and_then(|line| line.split('"').nth(1))
        .expect("a port")
        .to_owned();
    let verify = |lab: &Lab| {
        let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
        let binary = netpol_tests::lab::netpol_binary().expect("a binary");
        // Its exit code is a failure where something differs.
        let command = format!(
            "{} verify --node {NODE} -f {} || true",
            binary.display(),
            folder.display()
        );
        let said = netns.run(&["sh", "-c", &command], "");
        said.unwrap_or_else(|error| panic!("{error}"))
    };
    let edits = [
        format!("delete element bridge netpol bound4 {{ \"{port}\" . {caller} }}"),
        format!("add element bridge netpol bound4 {{ \"cni0\" . {caller} }}"),
        "add element bridge netpol guarded4 { 192.0.2.1 }".to_owned(),
        "flush chain bridge netpol forged".to_owned(),
        "insert rule bridge netpol ports accept".to_owned(),
        "add chain bridge netpol more".to_owned(),
        "add set bridge netpol more { type mark; }".to_owned(),
        "add table bridge netpol { flags dormant; }".to_owned(),
        "delete table bridge netpol".to_owned(),
        "flush ruleset".to_owned(),
    ];
    for edit in &edits {
        let node = lab.host(&Place::node(NODE)).expect("a node").netns();
        node.nft(&format!("{edit}\n"))
            .unwrap_or_else(|error| panic!("{error}"));
        until(&lab, edit, |listing| listing == right);
    }
    lab.stop_agent(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    // Without an agent nobody undoes it.
    let differs = |lab: &Lab| verify(lab).contains("bridge netpol");
    assert!(!differs(&lab), "{}", verify(&lab));
    for edit in &edits {
        let node = lab.host(&Place::node(NODE)).expect("a node").netns();
        node.nft(&format!("{edit}\n"))
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(differs(&lab), "{edit}: {}", verify(&lab));
        start(&mut lab, &folder, &[]);
        until(&lab, edit, |listing| listing == right);
        lab.stop_agent(NODE, Signal::SIGTERM)
            .unwrap_or_else(|error| panic!("{error}"));
    }
}
