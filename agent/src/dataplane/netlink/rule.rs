//! Rules as lists of instructions: the same that `nft` makes of them in a table of family inet.

use ipnet::IpNet;
use policy_compiler::model::{PortRange, Protocol};
use policy_compiler::ruleset::{
    AddressMatch, CUT_LABEL, Family, InterfacePattern, Match, Rule, Side, Verdict,
};

use super::expression::{
    AFTER_4_BYTES, AFTER_16_BYTES, Compare, Connection, Expressions, FIRST_REGISTER, Header, Meta,
    Target,
};
use super::header::{number, octets, offset};
use super::set::ANONYMOUS;
use crate::netlink::Writer;

/// `ct state established,related`
const TRACKED: u32 = 2 | 4;
/// `IPS_DST_NAT`
const TRANSLATED: u32 = 1 << 5;
/// `RTN_LOCAL`
const LOCAL: u32 = 2;
/// `IPPROTO_ICMPV6`
const ICMPV6: u8 = 58;
/// Types from router solicitation to redirect.
const NEIGHBOUR_DISCOVERY: [u8; 2] = [133, 137];
/// Where an IPv6 header has its hop limit.
const HOP_LIMIT: u32 = 7;
/// Where TCP has its flags.
const TCP_FLAGS: u32 = 13;
/// `TCPHDR_RST`
const RESET: u8 = 4;
/// `IFNAMSIZ`: what comparisons of whole names go over, filled up with zeroes.
const NAME_LENGTH: usize = 16;
/// Where TCP, UDP and SCTP have the destination port.
const DESTINATION_PORT: u32 = 2;

/// The lists of ports in a rule that need a set without a name, in order.
pub(super) fn port_lists(rule: &Rule) -> impl Iterator<Item = (Protocol, &[PortRange])> {
    rule.matches.iter().filter_map(|condition| match condition {
        Match::Port(protocol, ranges) if ranges.len() != 1 => Some((*protocol, &**ranges)),
        _ => None,
    })
}

/// How the sets of a rule's lists of ports are called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lists<'a> {
    /// By their numbers in the batch, from this on.
    Numbered(u32),
    /// By the names that the kernel has given them.
    Named(&'a [&'a str]),
}

/// Writes a rule's expressions.
pub(super) fn write_expressions(writer: &mut Writer, rule: &Rule, lists: Lists<'_>) {
    let mut encoder = Encoder {
        out: Expressions(writer),
        network: None,
        transport: None,
        lists,
    };
    for condition in &rule.matches {
        encoder.condition(condition);
    }
    encoder.verdict(&rule.verdict);
}

/// The labels of a connection of which this one is set.
fn cut_label() -> [u8; 16] {
    (1_u128 << CUT_LABEL).to_ne_bytes()
}

struct Encoder<'a> {
    out: Expressions<'a>,
    /// What the packet is known to be from here on: its headers can be read.
    network: Option<Family>,
    transport: Option<u8>,
    /// Those of the lists to come.
    lists: Lists<'a>,
}

impl Encoder<'_> {
    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::Tracked => self.any_of(Connection::State, TRACKED),
            Match::Translated => self.any_of(Connection::Status, TRANSLATED),
            Match::NeighbourDiscovery => self.neighbour_discovery(),
            Match::Reinjected => {
                self.out.meta(Meta::Interface);
                self.out.compare(Compare::Equal, &0_u32.to_ne_bytes());
            }
            Match::SourceIsLocal => {
                self.out.source_type();
                self.out.compare(Compare::Equal, &LOCAL.to_ne_bytes());
            }
            Match::Cut => {
                self.out.connection(Connection::Labels);
                self.out.mask(&cut_label());
                self.out.compare(Compare::NotEqual, &[0; 16]);
            }
            Match::NoWayBack => {
                self.out.way_back();
                self.out.compare(Compare::Equal, &0_u32.to_ne_bytes());
            }
            Match::InterfaceKind(kind) => {
                self.out.meta(Meta::InputKind);
                self.name(kind.as_str());
            }
            Match::Interface(side, pattern) => self.interface(*side, pattern),
            Match::Reset => {
                self.transport(number(Protocol::Tcp));
                self.out
                    .payload(Header::Transport, TCP_FLAGS, 1, FIRST_REGISTER);
                self.out.mask(&[RESET]);
                self.out.compare(Compare::NotEqual, &[0]);
            }
            Match::Address(side, address) => self.address(*side, address),
            Match::Protocol(protocol) => {
                // What a rule asks in so many words is asked, known or not.
                self.transport = None;
                self.transport(number(*protocol));
            }
            Match::Port(protocol, ranges) => {
                self.transport(number(*protocol));
                self.port(FIRST_REGISTER);
                self.ports(ranges);
            }
            Match::NamedPort(family, protocol, set) => {
                self.family(*family);
                self.transport(number(*protocol));
                self.load_address(*family, Side::Destination);
                // The parts of a key stand in registers one behind the other.
                self.port(match family {
                    Family::V4 => AFTER_4_BYTES,
                    Family::V6 => AFTER_16_BYTES,
                });
                self.out.lookup(set.as_str(), None);
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accept => self.out.verdict(Target::Accept),
            Verdict::Log(point, log) => {
                self.out.limit(log.rate, log.burst);
                self.out.log(&point.to_string(), log.group, log.snaplen);
            }
            Verdict::CountAndDrop(counter) => {
                self.out.count(counter.as_str());
                self.out.verdict(Target::Drop);
            }
            Verdict::CountAndReset(counter) => {
                self.out.count(counter.as_str());
                self.out.reset();
            }
            Verdict::SetCutLabel => self.out.set_labels(&cut_label()),
            Verdict::Jump(chain) => self.out.verdict(Target::Jump(chain.as_str())),
            Verdict::Goto(chain) => self.out.verdict(Target::Goto(chain.as_str())),
            Verdict::AddressMap(family, side, map) => {
                self.family(*family);
                self.load_address(*family, *side);
                self.out.lookup_verdict(map.as_str());
            }
        }
    }

    /// The packet is of this family, unless that is known already.
    fn family(&mut self, family: Family) {
        if self.network != Some(family) {
            self.network = Some(family);
            self.out.meta(Meta::NetworkProtocol);
            let number = match family {
                Family::V4 => 2,
                Family::V6 => 10,
            };
            self.out.compare(Compare::Equal, &[number]);
        }
    }

    fn transport(&mut self, protocol: u8) {
        if self.transport != Some(protocol) {
            self.transport = Some(protocol);
            self.out.meta(Meta::TransportProtocol);
            self.out.compare(Compare::Equal, &[protocol]);
        }
    }

    fn any_of(&mut self, key: Connection, bits: u32) {
        self.out.connection(key);
        self.out.mask(&bits.to_ne_bytes());
        self.out.compare(Compare::NotEqual, &0_u32.to_ne_bytes());
    }

    fn neighbour_discovery(&mut self) {
        let [first, last] = NEIGHBOUR_DISCOVERY;
        self.family(Family::V6);
        self.transport(ICMPV6);
        self.out.payload(Header::Transport, 0, 1, FIRST_REGISTER);
        self.out.compare(Compare::AtLeast, &[first]);
        self.out.compare(Compare::AtMost, &[last]);
        self.out
            .payload(Header::Network, HOP_LIMIT, 1, FIRST_REGISTER);
        self.out.compare(Compare::Equal, &[u8::MAX]);
    }

    fn address(&mut self, side: Side, address: &AddressMatch) {
        match address {
            AddressMatch::In(network) => self.network(side, *network, Compare::Equal),
            AddressMatch::NotIn(network) => self.network(side, *network, Compare::NotEqual),
            AddressMatch::Set(family, set) => {
                self.family(*family);
                self.load_address(*family, side);
                self.out.lookup(set.as_str(), None);
            }
            AddressMatch::NotInSet(family, set) => {
                self.family(*family);
                self.load_address(*family, side);
                self.out.lookup_absent(set.as_str());
            }
        }
    }

    fn interface(&mut self, side: Side, pattern: &InterfacePattern) {
        self.out.meta(match side {
            Side::Source => Meta::InputName,
            Side::Destination => Meta::OutputName,
        });
        if pattern.is_prefix() {
            let stem = pattern.stem().as_bytes();
            self.out.compare(Compare::Equal, stem);
        } else {
            self.name(pattern.stem());
        }
    }

    /// All of a name that stands in the register.
    fn name(&mut self, name: &str) {
        let mut whole = [0; NAME_LENGTH];
        for (place, byte) in whole.iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        self.out.compare(Compare::Equal, &whole);
    }

    /// Of a network that ends with a byte only those bytes are loaded; otherwise all of the address, under a mask.
    fn network(&mut self, side: Side, network: IpNet, operator: Compare) {
        let family = Family::of(network.addr());
        self.family(family);
        let address = octets(network.network());
        let bytes = usize::from(network.prefix_len() / 8);
        if bytes > 0 && network.prefix_len().is_multiple_of(8) {
            let length = u32::from(network.prefix_len() / 8);
            let offset = offset(family, side);
            self.out
                .payload(Header::Network, offset, length, FIRST_REGISTER);
            self.out
                .compare(operator, address.get(..bytes).unwrap_or(&address));
        } else {
            self.load_address(family, side);
            self.out.mask(&octets(network.netmask()));
            self.out.compare(operator, &address);
        }
    }

    fn load_address(&mut self, family: Family, side: Side) {
        let length = match family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        let offset = offset(family, side);
        self.out
            .payload(Header::Network, offset, length, FIRST_REGISTER);
    }

    fn port(&mut self, register: u32) {
        self.out
            .payload(Header::Transport, DESTINATION_PORT, 2, register);
    }

    fn ports(&mut self, ranges: &[PortRange]) {
        match ranges {
            [range] if range.first() == range.last() => {
                self.out
                    .compare(Compare::Equal, &range.first().to_be_bytes());
            }
            [range] => {
                self.out
                    .compare(Compare::AtLeast, &range.first().to_be_bytes());
                self.out
                    .compare(Compare::AtMost, &range.last().to_be_bytes());
            }
            _ => match &mut self.lists {
                Lists::Numbered(number) => {
                    self.out.lookup(ANONYMOUS, Some(*number));
                    *number = number.wrapping_add(1);
                }
                Lists::Named(names) => {
                    let (name, rest) = names.split_first().unwrap_or((&ANONYMOUS, &[]));
                    self.out.lookup(name, None);
                    *names = rest;
                }
            },
        }
    }
}
