//! What programming the kernel costs by netlink and by the `nft` program: tables of growing size whole, then ten elements
//! of one set, then one chain. Needs root.
//!
//! Time is the committing process's, from the transaction to the kernel's answer. Memory is what the process had at its
//! peak beyond what it had before; of `nft`, all it had.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netpol_agent::dataplane::{Dataplane, NetlinkDataplane};
use netpol_tests::lab::{Netns, privileged};
use policy_compiler::model::{PortRange, Protocol};
use policy_compiler::ruleset::{
    AddressMatch, Chain, Comment, Element, Family, Ident, Match, Operation, Rule, Ruleset, Set,
    SetKey, Side, Transaction, Verdict, VerdictMap,
};
use tokio::runtime::Runtime;

/// Sets of the table, and what each of its chains looks into.
const SETS: u32 = 20;
/// Rules in a chain.
const RULES: u32 = 5;
/// Isolated pods on the node.
const PODS: u32 = 110;

/// Chains and elements of all sets.
const SIZES: [(u32, u32); 5] = [
    (200, 0),
    (200, 1_000),
    (1_000, 10_000),
    (2_000, 100_000),
    (10_000, 1_000_000),
];
/// Beyond so many elements `nft` is not asked: it takes gigabytes.
const MOST_FOR_NFT: u32 = 100_000;

fn main() {
    if !privileged("dataplane") {
        return;
    }
    println!(
        "{:>7} {:>9} {:>8} {:>13} {:>8} {:>23} {:>23}",
        "chains",
        "elements",
        "by",
        "whole table",
        "memory",
        "ten elements (worst)",
        "one chain (worst)"
    );
    for (chains, elements) in SIZES {
        let ruleset = table(chains, elements);
        if elements <= MOST_FOR_NFT {
            report(chains, elements, &mut Nft::new(), &ruleset, 10);
        }
        report(chains, elements, &mut Netlink::new(), &ruleset, 200);
    }
}

/// A way to the kernel.
trait Way {
    const NAME: &'static str;
    /// Commits, and says how long that took and how much memory.
    fn commit(&mut self, transaction: &Transaction) -> (Duration, u64);
}

fn report<W: Way>(chains: u32, elements: u32, way: &mut W, ruleset: &Ruleset, repeats: u32) {
    let (whole, memory) = way.commit(&Transaction::replace(ruleset));
    let mut measure = |change: &dyn Fn(u32) -> Transaction| {
        let mut times: Vec<Duration> = (0..repeats).map(|i| way.commit(&change(i)).0).collect();
        times.sort_unstable();
        format!(
            "{:.2?} ({:.2?})",
            times[times.len() / 2],
            times[times.len() - 1]
        )
    };
    let (ten, one) = (measure(&ten_elements), measure(&one_chain));
    let memory = format!("{} MiB", memory >> 20);
    println!(
        "{chains:>7} {elements:>9} {:>8} {:>13} {memory:>8} {ten:>23} {one:>23}",
        W::NAME,
        format!("{whole:.1?}"),
    );
}

fn ident(kind: &str, number: u32) -> Ident {
    Ident::fixed(&format!("{kind}-{number}"))
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

fn table(chains: u32, elements: u32) -> Ruleset {
    let of_set = |number| Set {
        key: SetKey::Address(Family::V4),
        comment: Comment::new("pods of team-1"),
        elements: (0..elements / SETS)
            .map(|i| Element::Address(address(i * SETS + number)))
            .collect(),
    };
    let map = VerdictMap {
        family: Family::V4,
        elements: (0..PODS).map(|i| (address(i), ident("chain", i))).collect(),
    };
    Ruleset {
        sets: (0..SETS).map(|i| (ident("set", i), of_set(i))).collect(),
        maps: BTreeMap::from([(Ident::fixed("ingress4"), map)]),
        chains: (0..chains)
            .map(|i| (ident("chain", i), chain(i, 80)))
            .collect(),
    }
}

fn chain(number: u32, port: u16) -> Chain {
    let rule = |i| {
        let peers = AddressMatch::Set(Family::V4, ident("set", (number + i) % SETS));
        let ports = PortRange::single(port).into_iter().collect();
        let matches = vec![
            Match::Address(Side::Source, peers),
            Match::Port(Protocol::Tcp, ports),
        ];
        Rule::new(matches, Verdict::Accept).with_comment("from pods of team-1")
    };
    Chain {
        hook: None,
        rules: (0..RULES).map(rule).collect(),
    }
}

/// Ten addresses come, and the next time go.
fn ten_elements(time: u32) -> Transaction {
    let ten = (0..10).map(|i| Element::Address(address(0x00f0_0000 + i)));
    let (set, ten) = (ident("set", 0), ten.collect());
    let change = if time.is_multiple_of(2) {
        Operation::AddElements(set, ten)
    } else {
        Operation::DeleteElements(set, ten)
    };
    Transaction::new(vec![Operation::AddTable, change])
}

fn one_chain(time: u32) -> Transaction {
    let name = ident("chain", 7);
    let port = if time.is_multiple_of(2) { 81 } else { 80 };
    let rules = chain(7, port).rules.into_iter();
    let mut operations = vec![Operation::AddTable, Operation::FlushChain(name.clone())];
    operations.extend(rules.map(|rule| Operation::AddRule(name.clone(), rule)));
    Transaction::new(operations)
}

struct Netlink {
    dataplane: NetlinkDataplane,
    runtime: Runtime,
    _netns: Netns,
}

impl Netlink {
    fn new() -> Self {
        let netns = Netns::new("netlink").unwrap_or_else(|error| panic!("{error}"));
        let dataplane = netns.call(NetlinkDataplane::open);
        let dataplane = dataplane.unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            dataplane: dataplane.unwrap_or_else(|error| panic!("{error}")),
            runtime: runtime.unwrap_or_else(|error| panic!("{error}")),
            _netns: netns,
        }
    }
}

impl Way for Netlink {
    const NAME: &'static str = "netlink";

    fn commit(&mut self, transaction: &Transaction) -> (Duration, u64) {
        // The peak from here on.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let before = memory("self", "VmRSS");
        let start = Instant::now();
        let committed = self.runtime.block_on(self.dataplane.commit(transaction));
        let took = start.elapsed();
        committed.unwrap_or_else(|error| panic!("{error}"));
        (took, memory("self", "VmHWM").saturating_sub(before))
    }
}

struct Nft(Netns);

impl Nft {
    fn new() -> Self {
        Self(Netns::new("nft").unwrap_or_else(|error| panic!("{error}")))
    }
}

impl Way for Nft {
    const NAME: &'static str = "nft";

    fn commit(&mut self, transaction: &Transaction) -> (Duration, u64) {
        let transaction = transaction.clone();
        let outcome = self.0.call(move || run_nft(&transaction));
        outcome.unwrap_or_else(|error| panic!("{error}"))
    }
}

fn run_nft(transaction: &Transaction) -> (Duration, u64) {
    let start = Instant::now();
    let script = transaction.to_string();
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("nft: {error}"));
    let process = child.id().to_string();
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(script.as_bytes());
    }
    let mut peak = 0;
    let status = loop {
        // The peak so far: looked at often enough it misses little.
        peak = peak.max(memory(&process, "VmHWM"));
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => std::thread::sleep(Duration::from_micros(200)),
            Err(error) => panic!("nft: {error}"),
        }
    };
    assert!(status.success(), "nft: {status}");
    (start.elapsed(), peak)
}

/// A line of a process's status in bytes; 0 once it has ended.
fn memory(process: &str, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}
