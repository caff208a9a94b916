//! Ends and ports in a few words for people.

use super::event::{End, Who};
use super::packet::PacketTransport;

/// `shop/web (10.0.0.1)`, `node node-b (172.30.0.12)` or just the address.
pub fn end(end: &End) -> String {
    let who = match &end.who {
        Who::Pod(pod) => pod.key.to_string(),
        Who::Contested(_) => "several pods".to_owned(),
        Who::Node(name) => format!("node {name}"),
        Who::World => {
            return end.address.map_or_else(
                || "an unknown address".to_owned(),
                |address| address.to_string(),
            );
        }
    };
    end.address
        .map_or_else(|| who.clone(), |address| format!("{who} ({address})"))
}

/// `TCP 5432`, `ICMP type 8`, `protocol 47`
pub fn transport(transport: Option<&PacketTransport>) -> String {
    match transport {
        Some(PacketTransport::Tcp {
            destination_port, ..
        }) => format!("TCP {destination_port}"),
        Some(PacketTransport::Udp {
            destination_port, ..
        }) => format!("UDP {destination_port}"),
        Some(PacketTransport::Sctp {
            destination_port, ..
        }) => format!("SCTP {destination_port}"),
        Some(PacketTransport::Icmpv4 { kind, .. }) => format!("ICMP type {kind}"),
        Some(PacketTransport::Icmpv6 { kind, .. }) => format!("ICMPv6 type {kind}"),
        Some(PacketTransport::Other { protocol, .. }) => format!("protocol {protocol}"),
        None => "unreadable packet".to_owned(),
    }
}
