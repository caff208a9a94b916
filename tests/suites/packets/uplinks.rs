//! The links by which the node reaches others, which its source guard passes over: no pod can make its own one of them.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use netpol_tests::lab::{
    Agent, IpProtocol, Lab, Netns, Place, Topology, frame, manifests, own_mac, privileged,
    router_advertisement, send_frames,
};

use crate::shots::{DENIED_WITHIN, Shots};
use crate::world::{CALLER, NEAR, STRANGER, addresses, at, build, objects};

const NODE: &str = "node-a";
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

const IPV6: u16 = 0x86dd;
const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Whoever is far away is looked for in this network, too.
const NETWORK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

fn node(lab: &Lab) -> &Netns {
    lab.host(&Place::node(NODE)).expect("a node").netns()
}

fn run(netns: &Netns, command: &[&str]) -> String {
    netns
        .run(command, "")
        .unwrap_or_else(|error| panic!("{error}"))
}

fn until(lab: &Lab, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + NOTICED_WITHIN;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "{what}: {}",
            lab.agent(NODE).map(Agent::log).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The interfaces that are passed over.
fn uplinks(lab: &Lab) -> Vec<String> {
    let list = ["nft", "list", "chain", "inet", "netpol", "source-guard"];
    let listed = run(node(lab), &list);
    let names = listed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("iifname \""));
    let names = names.filter_map(|rest| rest.strip_suffix("\" accept"));
    names.map(ToOwned::to_owned).collect()
}

/// Where the node listens to routers, as it does by default unless it forwards, a pod can be one: then the node's end of
/// its link gets an address with a network, and the default route leads there.
#[test]
fn a_pod_is_no_uplink_whatever_it_advertises() {
    if !privileged("a_pod_is_no_uplink_whatever_it_advertises") {
        return;
    }
    let mut lab = build(Topology::RoutedVeth);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("world.yaml"), objects()).expect("a file");
    let [stranger, _] = addresses(STRANGER);
    let route = run(
        node(&lab),
        &["ip", "-o", "route", "get", &stranger.to_string()],
    );
    let port = route
        .split(" dev ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let port = port.expect("a link").to_owned();
    let accept = format!("echo 2 >/proc/sys/net/ipv6/conf/{port}/accept_ra");
    run(node(&lab), &["sh", "-c", &accept]);
    lab.start_agent(NODE, &manifests(&folder))
        .unwrap_or_else(|error| panic!("{error}"));
    lab.wait_ready(NODE)
        .unwrap_or_else(|error| panic!("{error}"));
    until(&lab, "the node's own link is an uplink", || {
        uplinks(&lab) == ["eth0"]
    });

    let netns = lab.host(&at(STRANGER)).expect("a pod").netns();
    let links = run(
        netns,
        &[
            "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link",
        ],
    );
    let own = links
        .split("inet6 ")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let own: Ipv6Addr = own.and_then(|own| own.parse().ok()).expect("an address");
    let mac = netns.call(own_mac).expect("alive").expect("an address");
    let told = [frame(
        ALL_NODES,
        mac,
        &[],
        IPV6,
        &router_advertisement(own, NETWORK),
    )];
    let sent = netns.call(move || send_frames(&told)).expect("alive");
    sent.expect("sent");
    let ways = ["ip", "-6", "route", "show", "dev", &port];
    until(&lab, "the node believes it", || {
        let ways = run(node(&lab), &ways);
        ways.contains("2001:db8::/64") && ways.contains("default")
    });
    // What has come later is seen, and so that was, too.
    let later = "link add later type veth peer name far\naddress add 10.99.0.1/24 dev later\n\
                 link set far up\nlink set later up\n";
    node(&lab)
        .ip(later)
        .unwrap_or_else(|error| panic!("{error}"));
    until(&lab, "a new uplink", || {
        uplinks(&lab).contains(&"later".to_owned())
    });
    assert_eq!(uplinks(&lab), ["eth0", "later"]);
    let mut forged = Shots::default();
    for source in addresses(CALLER) {
        forged.aim(STRANGER, source, NEAR, 80);
    }
    assert!(
        forged
            .0
            .iter()
            .any(|shot| shot.token.protocol == IpProtocol::Udp)
    );
    forged.fire(&lab);
    assert_eq!(forged.arrived(&lab, DENIED_WITHIN), Vec::<String>::new());
}
