//! What netfilter's hooks for packets do not see: ARP, neighbours, tags.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use netpol_tests::lab::{
    IpProtocol, Lab, Place, Probe, Token, Topology, Transport, arp_reply, frame,
    neighbour_advertisement, own_mac, privileged, router_advertisement, send_frames,
};

use super::{ARRIVED_WITHIN, DENIED_WITHIN, NODE, guarded, request};
use crate::world::{CALLER, NEAR, STRANGER, addresses, at, check};

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// How long it is waited for what must come, or must not.
fn time_for(must_come: bool) -> Duration {
    if must_come {
        ARRIVED_WITHIN
    } else {
        DENIED_WITHIN
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
            let must_change = guard == "off" && victim == caller_v6;
            let deadline = Instant::now() + time_for(must_change);
            while neighbour(&lab, NEAR, victim) == before && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let is_fooled = neighbour(&lab, NEAR, victim) == text;
            // The kernel believes no reply to what it knows for sure, for a second.
            assert!(!is_fooled || guard == "off", "{victim} is at the forger's");
            if must_change {
                assert!(
                    is_fooled,
                    "without the guard {victim} can be taken, or this proves nothing"
                );
            }
        }
        check(&mut lab, &probes[..1]);
    }
}

/// Who listens to routers, as Linux does by default, does not take a pod for one.
#[test]
fn no_pod_is_a_router() {
    if !privileged("no_pod_is_a_router") {
        return;
    }
    for guard in ["off", "on"] {
        let (lab, _) = guarded(Topology::Bridge, &["--source-guard", guard]);
        let [forger, near] = [STRANGER, NEAR].map(|pod| lab.host(&at(pod)).expect("a pod").netns());
        near.sysctl(&[("net/ipv6/conf/eth0/accept_ra", "1")])
            .unwrap_or_else(|error| panic!("{error}"));
        let own = [
            "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link",
        ];
        let own = forger
            .run(&own, "")
            .unwrap_or_else(|error| panic!("{error}"));
        let own = own
            .split("inet6 ")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let own: Ipv6Addr = own.and_then(|own| own.parse().ok()).expect("an address");
        let network = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);
        let told = router_advertisement(own, network);
        let frames = [frame(ALL_NODES, mac_of(&lab, STRANGER), &[], IPV6, &told)];
        let sent = forger.call(move || send_frames(&frames)).expect("alive");
        sent.expect("sent");
        let is_fooled = || {
            let ways = near.run(&["ip", "-6", "route", "show", "default"], "");
            ways.unwrap_or_else(|error| panic!("{error}"))
                .contains(&own.to_string())
        };
        let deadline = Instant::now() + DENIED_WITHIN;
        while !is_fooled() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(is_fooled(), guard == "off", "guard {guard}");
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
        let deadline = Instant::now() + time_for(guard == "off");
        while count() < tokens.len() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let expected = if guard == "off" { tokens.len() } else { 0 };
        assert_eq!(count(), expected, "guard {guard}");
    }
}
