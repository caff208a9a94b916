//! Packets in the name of another.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netpol_tests::lab::{
    IpProtocol, Ipv4Header, Ipv6Header, Lab, Token, send_raw, tcp_syn, udp_request,
};

use super::{ARRIVED_WITHIN, DENIED_WITHIN};
use crate::world::{addresses, at};

/// The request `source → destination`, as a packet.
pub(super) fn request(
    source: SocketAddr,
    destination: SocketAddr,
    protocol: IpProtocol,
) -> Vec<u8> {
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

/// Without the guard it arrives, and may take its time.
pub(super) fn within(guard: &str) -> Duration {
    if guard == "off" {
        ARRIVED_WITHIN
    } else {
        DENIED_WITHIN
    }
}

/// What `sender` sends in the name of `victim` to `receiver`, over both families and protocols, by what arrives of it.
pub(super) fn forge(
    lab: &Lab,
    sender: &str,
    victim: &[IpAddr],
    receiver: &str,
    numbers: u16,
    within: Duration,
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
    let deadline = Instant::now() + within;
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
