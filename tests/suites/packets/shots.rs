//! Crafted requests, fired all at once, and which of them arrived.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netpol_tests::lab::{Lab, Place, Token, send_raw};

use crate::tricks::{TRICKS_V4, TRICKS_V6};
use crate::world::{addresses, at};

/// Packets cross the lab in microseconds; a loaded machine may take longer to hand them out.
pub(crate) const DENIED_WITHIN: Duration = Duration::from_millis(500);
pub(crate) const ARRIVED_WITHIN: Duration = Duration::from_secs(20);

/// One crafted request: who sends, who should (not) get it, and what it is told apart by.
pub(crate) struct Shot {
    pub(crate) name: String,
    sender: Place,
    receiver: Place,
    pub(crate) token: Token,
    to: IpAddr,
    packets: Vec<Vec<u8>>,
}

/// Numbers no probe uses, each once.
#[derive(Default)]
pub(crate) struct Shots(pub(crate) Vec<Shot>);

impl Shots {
    pub(crate) fn aim(&mut self, from: &str, source: IpAddr, receiver: &str, port: u16) {
        self.aim_from(&at(from), source, receiver, port);
    }

    pub(crate) fn aim_from(&mut self, sender: &Place, source: IpAddr, receiver: &str, port: u16) {
        for to in addresses(receiver)
            .into_iter()
            .filter(|to| to.is_ipv4() == source.is_ipv4())
        {
            self.aim_at(sender, source, (receiver, to), port);
        }
    }

    pub(crate) fn aim_at(
        &mut self,
        sender: &Place,
        source: IpAddr,
        (receiver, to): (&str, IpAddr),
        port: u16,
    ) {
        let tricks = if to.is_ipv4() { TRICKS_V4 } else { TRICKS_V6 };
        for (trick, protocol, write) in tricks {
            let number = 20_000 + u16::try_from(self.0.len()).expect("not that many");
            self.0.push(Shot {
                name: format!("{sender} as {source} → {receiver} at {to} port {port}: {trick}"),
                sender: sender.clone(),
                receiver: at(receiver),
                token: Token {
                    protocol: *protocol,
                    number,
                },
                to,
                packets: write((source, number).into(), (to, port).into()),
            });
        }
    }

    pub(crate) fn fire(&self, lab: &Lab) {
        for Shot {
            name,
            sender,
            to,
            packets,
            ..
        } in &self.0
        {
            let (to, packets) = (*to, packets.clone());
            let netns = lab.host(sender).expect("a pod").netns();
            let sent = netns.call(move || send_raw(&packets, to)).expect("alive");
            // The sender is told when its own rules drop the packet.
            if let Err(error) = sent
                && error.kind() != ErrorKind::PermissionDenied
            {
                panic!("{name}: {error}");
            }
        }
    }

    pub(crate) fn none_arrives(&self, lab: &Lab) {
        self.fire(lab);
        let arrived = self.arrived(lab, DENIED_WITHIN);
        assert_eq!(arrived, Vec::<&str>::new(), "{}", lab.topology());
    }

    /// The names of those that arrived, when all have or the time is up.
    pub(crate) fn arrived(&self, lab: &Lab, within: Duration) -> Vec<&str> {
        let deadline = Instant::now() + within;
        loop {
            let arrived: Vec<&str> = self
                .0
                .iter()
                .filter(|shot| lab.has_arrived(&shot.receiver, shot.token))
                .map(|shot| &*shot.name)
                .collect();
            if arrived.len() == self.0.len() || Instant::now() > deadline {
                return arrived;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
