//! Packets whose source is not their sender's gain nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netpol_tests::kubernetes::{Hammer, Heard, Receiver, inside, wait_for};
use netpol_tests::lab::{Ipv4Header, Ipv6Header, send_raw, udp_request};

use crate::Scenario;
use crate::agents::CLIENTS;
use crate::stage::{Outcome, SOON, Stage, text};

pub(crate) const SCENARIOS: &[Scenario] = &[("a forged source gains nothing", gains_nothing)];

/// Where the targets listen.
const PORT: u16 = 7002;
const UDP: u8 = 17;
/// Each forged packet is sent so often: the first may wait for its neighbour's address, and be lost.
const TIMES: usize = 3;
const PAUSE: Duration = Duration::from_millis(5);
/// Neither may reach the targets as who they are.
const FORGERS: [&str; 2] = ["guests/guest-a", "guests/guest-b"];
const TARGETS: [&str; 2] = ["shop/web-a", "shop/web-b"];

fn gains_nothing(stage: &mut Stage) -> Outcome {
    let heard = forge(stage)?;
    if heard.is_empty() {
        return Ok(());
    }
    Err(format!("forged sources passed:\n{}", heard.join("\n")))
}

/// Without the guard some pass: the packets above are ones that could.
pub(crate) fn pass(stage: &Stage) -> Outcome {
    let heard = forge(stage)?;
    println!("  {} forged sources pass", heard.len());
    if heard.is_empty() {
        return Err("forged packets would never have passed".to_owned());
    }
    Ok(())
}

/// Has pods send to isolated ones under names that could open doors: a client's, a node's, the target's own. Returns
/// what arrived.
fn forge(stage: &Stage) -> Result<Vec<String>, String> {
    stage.cluster.apply(CLIENTS).map_err(text)?;
    stage.expect(&[
        ("guests/guest-a", "shop/web-a", false),
        ("guests/guest-b", "shop/web-b", false),
        ("shop/client-a", "shop/web-b", true),
    ])?;
    let mut arrived = Vec::new();
    for target in TARGETS {
        let receiver = Receiver::start(&stage.network(target)?, PORT).map_err(text)?;
        let addresses = stage.addresses(target)?;
        let sockets = addresses.iter().map(|&address| (address, PORT).into());
        // Clients that are who they say, until the last forged packet must have come.
        let clients = ["shop/client-a", "shop/client-b"].map(|client| stage.network(client));
        let mut honest = Vec::new();
        for network in clients {
            let targets: Vec<SocketAddr> = sockets.clone().collect();
            honest.push(Hammer::start(&network?, targets, PAUSE).map_err(text)?);
        }
        for forger in FORGERS {
            let network = stage.network(forger)?;
            for to in &addresses {
                let packets = forged_packets(stage, *to)?;
                let to = *to;
                inside(&network, move || {
                    (0..TIMES).try_for_each(|_| send_raw(&packets, to))
                })
                .map_err(|error| format!("{forger} cannot forge: {error}"))?;
            }
        }
        let last = latest(&receiver.heard());
        wait_for("honest packets behind the forged ones", SOON, || {
            let now = latest(&receiver.heard());
            let are_behind = now > last.map(|last| last + 20);
            are_behind
                .then_some(())
                .ok_or_else(|| format!("{now:?} after {last:?}"))
        })
        .map_err(text)?;
        let heard = receiver.heard().into_iter();
        let strangers = heard.filter(|(name, _)| name != "hammer");
        arrived.extend(strangers.map(|(source, numbers)| {
            format!("{target} heard {} packets of {source}", numbers.len())
        }));
    }
    stage.without(CLIENTS)?;
    Ok(arrived)
}

fn latest(heard: &Heard) -> Option<u32> {
    heard.get("hammer")?.last().copied()
}

/// A datagram to an address from everybody there of its family.
fn forged_packets(stage: &Stage, to: IpAddr) -> Result<Vec<Vec<u8>>, String> {
    let mut sources = Vec::new();
    for pod in ["shop/client-a", "shop/client-b"]
        .into_iter()
        .chain(TARGETS)
    {
        sources.extend(stage.addresses(pod)?);
    }
    for node in stage.cluster.nodes() {
        let spec = node.spec();
        sources.extend([IpAddr::V4(spec.v4), IpAddr::V6(spec.v6)]);
        sources.extend(spec.gateways());
    }
    let packets = sources.into_iter().filter_map(|source| {
        let datagram = udp_request((source, PORT).into(), (to, PORT).into(), 0);
        match (source, to) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = Ipv4Header {
                    source,
                    destination,
                    protocol: UDP,
                    id: 1,
                    fragment_offset: 0,
                    more_fragments: false,
                    options: Vec::new(),
                };
                Some(header.encode(&datagram))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    source,
                    destination,
                    next_header: UDP,
                };
                Some(header.encode(&datagram))
            }
            _ => None,
        }
    });
    Ok(packets.collect())
}
