//! Probing a lab: many requests at once, and what became of each.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use policy_compiler::model::Protocol;

use super::packet::IpProtocol;
use super::probe::{Expect, Outcome, Probe, Transport};
use super::receive::{echo_tcp, echo_udp};
use super::sender::Sender;
use super::{Lab, LabError, Place};

/// The pace of [`Lab::probe_until`].
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

impl Lab {
    /// Who receives what is sent to an address, and on which port: behind services, their first backend.
    pub fn receiver(&self, to: IpAddr, transport: Transport) -> Option<(&Place, u16)> {
        let owner = self.owner(to);
        let to_node = matches!(owner, Some(Place::Node(_)));
        let translated = self.spec.services.iter().find_map(|service| {
            let port = service.ports.iter().find(|port| {
                ip_protocol(port.protocol) == transport.protocol()
                    && (service.cluster_ips.contains(&to) && port.port == transport.port()
                        || to_node && port.node_port == Some(transport.port()))
            })?;
            port.backend(to.is_ipv4())
        });
        match translated {
            Some(backend) => Some((self.owner(backend.ip())?, backend.port())),
            None => Some((owner?, transport.port())),
        }
    }

    /// Makes `place` answer on a port, if it does not yet. SCTP and echo requests are always answered.
    pub fn listen(
        &mut self,
        place: &Place,
        protocol: IpProtocol,
        port: u16,
    ) -> Result<(), LabError> {
        if !matches!(protocol, IpProtocol::Tcp | IpProtocol::Udp)
            || !self.listening.insert((place.clone(), protocol, port))
        {
            return Ok(());
        }
        let host = self.host(place)?;
        let addresses = host.addresses.clone();
        let (opened, answer) = std::sync::mpsc::channel();
        host.netns.submit(move || {
            tokio::task::spawn_local(async move {
                let result = if protocol == IpProtocol::Tcp {
                    echo_tcp(port).await
                } else {
                    let mut result = Ok(());
                    for address in addresses {
                        result = result.and(echo_udp(SocketAddr::new(address, port)).await);
                    }
                    result
                };
                let _ = opened.send(result);
            });
        });
        answer
            .recv()
            .map_err(|_| LabError::Ended(place.to_string()))?
            .map_err(LabError::io(format!(
                "listen on {protocol:?} port {port} in {place}"
            )))
    }

    /// Sends all probes at once and returns what became of each, in order.
    pub fn probe(&mut self, probes: &[Probe]) -> Result<Vec<Outcome>, LabError> {
        self.arrivals.clear();
        let mut receivers = Vec::with_capacity(probes.len());
        for probe in probes {
            let receiver = self
                .receiver(probe.to, probe.transport)
                .map(|(place, port)| (place.clone(), port));
            if let Some((place, port)) = &receiver {
                self.listen(place, probe.transport.protocol(), *port)?;
            }
            receivers.push(receiver.map(|(place, _)| place));
        }
        let mut running = Vec::with_capacity(probes.len());
        for probe in probes {
            let sender = Sender {
                probe: probe.clone(),
                numbers: self.tokens.clone(),
            };
            let (done, result) = std::sync::mpsc::channel();
            self.host(&probe.from)?.netns.submit(move || {
                tokio::task::spawn_local(async move {
                    let _ = done.send(sender.run().await);
                });
            });
            running.push(result);
        }
        let mut sent = Vec::with_capacity(probes.len());
        for (result, probe) in running.into_iter().zip(probes) {
            sent.push(
                result
                    .recv()
                    .map_err(|_| LabError::Ended(probe.from.to_string()))?,
            );
        }
        // Packets are in the receivers' queues by now; their threads may not have come to read them.
        for place in receivers.iter().flatten().collect::<BTreeSet<_>>() {
            for sniffer in &self.host(place)?.sniffers {
                sniffer.drain();
            }
        }
        let outcomes = sent
            .into_iter()
            .zip(receivers)
            .map(|(sent, receiver)| Outcome {
                answered: sent.answered,
                arrived_from: receiver.and_then(|r| {
                    sent.tokens
                        .iter()
                        .find_map(|&t| self.arrivals.source(&r, t))
                }),
                trouble: sent.trouble,
                refused: sent.refused,
            });
        Ok(outcomes.collect())
    }

    /// Sends the probes again and again until all of them do as expected, or the time is up. Returns the last outcomes.
    /// For changes that take effect eventually.
    pub fn probe_until(
        &mut self,
        probes: &[Probe],
        within: Duration,
    ) -> Result<Vec<Outcome>, LabError> {
        let hurried: Vec<Probe> = probes
            .iter()
            .map(|p| p.clone().patience(Expect::Silence.window()))
            .collect();
        let deadline = Instant::now() + within;
        loop {
            let outcomes = self.probe(&hurried)?;
            let settled = probes
                .iter()
                .zip(&outcomes)
                .all(|(probe, outcome)| outcome.is(probe.expect));
            if settled || Instant::now() > deadline {
                return Ok(outcomes);
            }
            // While everything is answered at once, rounds would use up all numbers in seconds.
            std::thread::sleep(BETWEEN_ROUNDS);
        }
    }
}

fn ip_protocol(protocol: Protocol) -> IpProtocol {
    match protocol {
        Protocol::Tcp => IpProtocol::Tcp,
        Protocol::Udp => IpProtocol::Udp,
        Protocol::Sctp => IpProtocol::Sctp,
    }
}
