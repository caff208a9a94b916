//! Drops of odd packets: the reason is another one, or a hint says what they are.

use std::net::{IpAddr, SocketAddr};

use netpol_tests::lab::{
    Ipv4Header, Ipv6Header, Lab, Topology, privileged, send_raw, tcp_syn, udp_request,
};
use serde_json::Value;

use crate::flow_log_ground::{agent, awaited, flows, start, world};
use crate::world::{CALLER, NEAR, STRANGER, addresses, at};

fn shoot(lab: &Lab, from: &str, to: IpAddr, packet: Vec<u8>) {
    let netns = lab.host(&at(from)).expect("a pod").netns();
    let sent = netns.call(move || send_raw(&[packet], to));
    sent.expect("the pod is there")
        .unwrap_or_else(|error| panic!("{from} → {to}: {error}"));
}

/// Waits for the flow to this address of the given source port.
fn told(lab: &Lab, protocol: &str, source_port: u16) -> Value {
    awaited(&format!("{protocol} of port {source_port}"), || {
        let mut flows = flows(&agent(lab).flow_lines()).into_iter();
        flows.find(|flow| flow["l4"][protocol]["source_port"] == source_port)
    })
}

/// Pods on one bridge have link-local addresses, which no policy knows (decision L13).
#[test]
fn link_local_addresses_are_told() {
    if !privileged("link_local_addresses_are_told") {
        return;
    }
    let (mut lab, folder) = world(Topology::Bridge);
    let [sender, receiver]: [IpAddr; 2] =
        ["fe80::bad", "fe80::beef"].map(|address| address.parse().expect("an address"));
    for (pod, address) in [(STRANGER, sender), (NEAR, receiver)] {
        let netns = lab.host(&at(pod)).expect("a pod").netns();
        netns
            .ip(&format!("address add {address}/64 dev eth0 nodad\n"))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    start(&mut lab, &folder, &[]);
    let [_, global] = addresses(STRANGER);
    for (source, number) in [(sender, 6001), (global, 6002)] {
        let (IpAddr::V6(from), IpAddr::V6(to)) = (source, receiver) else {
            panic!("both are IPv6")
        };
        let payload = udp_request((source, number).into(), (receiver, 53).into(), 0);
        let header = Ipv6Header {
            source: from,
            destination: to,
            next_header: 17,
        };
        shoot(&lab, STRANGER, receiver, header.encode(&payload));
        let flow = told(&lab, "UDP", number);
        assert_eq!(
            flow["extensions"]["value"]["reason"], "link-local",
            "{flow}"
        );
        assert_eq!(flow["IP"]["source"], source.to_string(), "{flow}");
        assert_eq!(flow["IP"]["destination"], receiver.to_string(), "{flow}");
        assert!(
            flow["ingress_denied_by"].is_null() && flow["egress_denied_by"].is_null(),
            "{flow}"
        );
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A segment with these flags.
fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8) -> Vec<u8> {
    let mut segment = tcp_syn(source, destination);
    // The sum of all words stays what it was if the checksum loses what the flags gain.
    let sum = i32::from(u16::from_be_bytes([segment[16], segment[17]]));
    let sum = (sum - i32::from(flags) + i32::from(SYN)).rem_euclid(0xffff);
    let sum = u16::try_from(sum).expect("two bytes").to_be_bytes();
    segment[13] = flags;
    segment[16..18].copy_from_slice(&sum);
    segment
}

/// Packets of connections that nobody knows are judged like the first of one, and dropped where that is not allowed.
#[test]
fn strays_are_told_as_such() {
    if !privileged("strays_are_told_as_such") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    start(&mut lab, &folder, &[]);
    let ([near, _], [caller, _]) = (addresses(NEAR), addresses(CALLER));
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (near, caller) else {
        panic!("IPv4 comes first")
    };
    let rows = [
        (SYN, false),
        (SYN | ACK, true),
        (ACK, true),
        (FIN | ACK, true),
        (RST, true),
        (RST | ACK, true),
    ];
    for (number, (flags, is_stray)) in (7001..).zip(rows) {
        let header = Ipv4Header {
            source,
            destination,
            protocol: 6,
            id: number,
            fragment_offset: 0,
            more_fragments: false,
            options: Vec::new(),
        };
        // Each to a port of its own, or they would be repeats of one flow.
        let segment = tcp((near, number).into(), (caller, number).into(), flags);
        shoot(&lab, NEAR, caller, header.encode(&segment));
        let flow = told(&lab, "TCP", number);
        assert_eq!(flow["traffic_direction"], "EGRESS", "{flow}");
        assert_eq!(flow["extensions"]["value"]["reason"], "no-rule", "{flow}");
        let hints = flow["extensions"]["value"]["hints"].to_string();
        assert_eq!(
            hints.contains("\"stray-packet\""),
            is_stray,
            "{flags:#b}: {flow}"
        );
        assert_eq!(flow["is_reply"].is_null(), is_stray, "{flags:#b}: {flow}");
    }
}
