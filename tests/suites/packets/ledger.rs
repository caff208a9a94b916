//! What a flow log's lines add up to, and what the kernel and the metrics say of the same packets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use netpol_agent::flow_log::format::hubble::{ExportEvent, Flow};
use netpol_tests::lab::{IpProtocol, Ipv4Header, Ipv6Header, Lab, tcp_syn, udp_request};

/// How long packets may take to be dropped that have been sent.
const AT_REST_WITHIN: Duration = Duration::from_secs(60);

/// They are at rest when so many looks in a row, a fifth of a second apart, see the same.
const LOOKS: usize = 3;

/// How long the agent may take to tell all: its window, and two of the readings that it takes each second.
const TOLD_WITHIN: Duration = Duration::from_secs(8);

/// How long it is waited for what comes in a moment on a machine that does nothing else.
const WITHIN: Duration = Duration::from_secs(30);

/// Packets, by how the lines tell of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) firsts: u64,
    pub(crate) folded: u64,
    pub(crate) suppressed: u64,
    pub(crate) lost: BTreeMap<String, u64>,
}

impl Ledger {
    pub(crate) fn of(lines: &str) -> Self {
        let mut ledger = Self::default();
        for line in lines.lines() {
            let event: ExportEvent = serde_json::from_str(line).expect(line);
            if let Some(lost) = event.lost_events {
                *ledger.lost.entry(lost.source).or_default() += lost.num_events_lost;
                continue;
            }
            let flow = event.flow.expect(line);
            let extensions = flow.extensions.expect(line);
            match extensions.extent.as_str() {
                "first" => ledger.firsts += extensions.count,
                _ => ledger.folded += extensions.count,
            }
            ledger.suppressed += extensions.suppressed;
        }
        ledger
    }

    pub(crate) fn sum(&self) -> u64 {
        self.firsts + self.folded + self.suppressed + self.lost.values().sum::<u64>()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            firsts,
            folded,
            suppressed,
            lost,
        } = self;
        write!(
            f,
            "{firsts} first, {folded} folded, {suppressed} suppressed, lost {lost:?}"
        )
    }
}

/// The lines that tell of flows.
pub(crate) fn flows(lines: &str) -> impl Iterator<Item = Flow> {
    lines.lines().filter_map(|line| {
        let event: ExportEvent = serde_json::from_str(line).expect(line);
        event.flow.map(|flow| *flow)
    })
}

/// The sum of a node's counters, once it stays the same: packets that were sent may still be on their way.
pub(crate) fn counted(lab: &Lab, node: &str) -> u64 {
    let deadline = Instant::now() + AT_REST_WITHIN;
    let sum = || {
        let counters = lab.counters(node).unwrap_or_else(|error| panic!("{error}"));
        counters.values().sum()
    };
    let (mut before, mut looks): (u64, usize) = (sum(), 0);
    while looks < LOOKS {
        std::thread::sleep(Duration::from_millis(200));
        let now = sum();
        looks = if now == before { looks + 1 } else { 0 };
        assert!(Instant::now() < deadline, "packets keep being dropped");
        before = now;
    }
    before
}

/// The sum of the agent's series of a metric whose labels have all these words.
pub(crate) fn metric(lab: &Lab, node: &str, name: &str, words: &[&str]) -> u64 {
    let (_, text) = lab
        .agent_get(node, "/metrics")
        .unwrap_or_else(|error| panic!("{error}"));
    let series = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let is_it = labels.is_empty() || labels.starts_with('{');
        let number = value.parse::<u64>().ok()?;
        (is_it && words.iter().all(|word| labels.contains(word))).then_some(number)
    });
    series.sum()
}

/// Waits until `is_so`, and says whether it came to that.
pub(crate) fn awaited(is_so: impl FnMut() -> bool) -> bool {
    awaited_for(WITHIN, is_so)
}

/// Waits until the agent has told all that it can, and says whether that is so.
pub(crate) fn told(is_so: impl FnMut() -> bool) -> bool {
    awaited_for(TOLD_WITHIN, is_so)
}

fn awaited_for(time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Numbers that look random and come again from their seed.
pub(crate) struct Random(u64);

impl Random {
    /// From `$NETPOL_TEST_SEED`, else from the clock; told in the test's output.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("NETPOL_TEST_SEED").ok();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = given.map_or_else(
            || now.map_or(1, |now| now.as_secs() << 30 | u64::from(now.subsec_nanos())),
            |seed| seed.parse().expect("NETPOL_TEST_SEED is a number"),
        );
        println!("seed {seed}");
        Self(seed)
    }

    /// The next one (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn port(&mut self) -> u16 {
        let [.., high, low] = self.next().to_be_bytes();
        u16::from_be_bytes([high, low]).max(1)
    }

    /// An address of nobody in the lab, which its nodes route to the outside.
    pub(crate) fn stranger(&mut self, ipv4: bool) -> IpAddr {
        let bits = self.next();
        if ipv4 {
            let [_, b, c, d, ..] = bits.to_be_bytes();
            Ipv4Addr::new(20 + (bits % 100) as u8, b, c, d).into()
        } else {
            Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(bits)).into()
        }
    }
}

/// A whole packet: a TCP SYN, or a UDP datagram.
pub(crate) fn packet(from: SocketAddr, to: SocketAddr, tcp: bool) -> Vec<u8> {
    let payload = if tcp {
        tcp_syn(from, to)
    } else {
        udp_request(from, to, 0)
    };
    let protocol = if tcp {
        IpProtocol::Tcp
    } else {
        IpProtocol::Udp
    };
    match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Ipv4Header {
            source,
            destination,
            protocol: protocol.number(true),
            id: 0,
            fragment_offset: 0,
            more_fragments: false,
            options: Vec::new(),
        }
        .encode(&payload),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Ipv6Header {
            source,
            destination,
            next_header: protocol.number(false),
        }
        .encode(&payload),
        _ => panic!("{from} and {to} are of two families"),
    }
}
