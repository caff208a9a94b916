//! What looking through the node's connections costs: those of one pod and of several, and all, among more and more that
//! are of no concern. Needs root.
//!
//! Times are what this thread ran for, medians with the worst behind: on a quiet node it takes as long. Connections are handed
//! on and dropped; nothing is judged.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netpol_agent::conntrack::{Connection, Conntrack, Order, Way, Which};
use netpol_tests::lab::{Netns, Tracked, privileged, track};

/// Connections of others.
const FOREIGN: [u32; 3] = [0, 50_000, 200_000];
/// Connections of each pod.
const OWN: [u32; 3] = [10, 100, 1_000];
/// Pods that are asked for at once.
const PODS: [u32; 4] = [1, 4, 10, 100];
/// So many pods have connections.
const POPULATED: u32 = 10;
const REPEATS: u32 = 15;

fn main() {
    if !privileged("connections") {
        return;
    }
    for (family, address) in [("IPv4", v4 as fn(u32) -> IpAddr), ("IPv6", v6)] {
        println!("{family}: time to read the connections of so many pods");
        let columns = PODS.iter().map(ToString::to_string);
        let others = ["1, filtered", "1, from all", "all", "cutting of 1"];
        print!("{:>9} {:>9}", "foreign", "each pod");
        for column in columns.chain(others.map(str::to_owned)) {
            print!(" {column:>19}");
        }
        println!();
        for foreign in FOREIGN {
            for own in OWN {
                report(address, foreign, own);
            }
        }
    }
}

fn report(address: fn(u32) -> IpAddr, foreign: u32, own: u32) {
    let netns = Netns::new("crowded").expect("a namespace");
    netns
        .nft("add table inet t\nadd chain inet t c\nadd rule inet t c ct label set 127\n")
        .expect("rules");
    let entries = (0..foreign).map(move |i| entry(address(1 << 20 | i), address(1 << 23), i));
    let mine =
        (0..POPULATED * own).map(move |i| entry(address(i % POPULATED), address(2 << 20 | i), i));
    let made = netns.call(move || track(entries.chain(mine)));
    made.expect("alive").expect("made");
    let opened = netns.call(Conntrack::open).expect("alive");
    let mut conntrack = opened.expect("permitted");
    print!("{foreign:>9} {own:>9}");
    for pods in PODS {
        let which = Which::Of((0..pods).map(address).collect::<BTreeSet<_>>());
        let expected = pods.min(POPULATED) * own;
        print!(" {:>19}", time(&mut conntrack, &which, expected));
    }
    let one = Which::Of([address(0)].into());
    for way in [Way::Filtered, Way::Whole] {
        conntrack = conntrack.by(way);
        print!(" {:>19}", time(&mut conntrack, &one, own));
    }
    let expected = foreign + POPULATED * own;
    print!(" {:>19}", time(&mut conntrack, &Which::All, expected));
    println!(" {:>19}", cut(&mut conntrack, address(0)));
}

fn time(conntrack: &mut Conntrack, which: &Which, expected: u32) -> String {
    measured(|| {
        let mut count = 0;
        let read = conntrack.each(which, |_| count += 1);
        read.expect("a list");
        assert_eq!(count, expected, "{which:?}");
    })
}

/// Cuts and restores what a pod has.
fn cut(conntrack: &mut Conntrack, pod: IpAddr) -> String {
    let mut connections: Vec<Connection> = Vec::new();
    let of_pod = Which::Of([pod].into());
    let read = conntrack.each(&of_pod, |connection| connections.push(connection));
    read.expect("a list");
    let mut order = Order::Restore;
    measured(|| {
        order = match order {
            Order::Restore => Order::Cut,
            _ => Order::Restore,
        };
        let orders: Vec<_> = connections.iter().map(|c| (order, *c)).collect();
        conntrack.apply(&orders, |_, _| {}).expect("answers");
    })
}

fn measured(mut once: impl FnMut()) -> String {
    let mut times: Vec<Duration> = (0..REPEATS)
        .map(|_| {
            let start = cpu_time();
            once();
            cpu_time().saturating_sub(start)
        })
        .collect();
    times.sort_unstable();
    format!(
        "{:.2?} ({:.1?})",
        times[times.len() / 2],
        times[times.len() - 1]
    )
}

/// How long this thread has run.
fn cpu_time() -> Duration {
    // The kernel brings the account up to date when it looks for another thread to run.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next();
    Duration::from_nanos(nanoseconds.and_then(|n| n.parse().ok()).unwrap_or_default())
}

fn entry(source: IpAddr, destination: IpAddr, number: u32) -> Tracked {
    let port = u16::try_from(1024 + number % 60_000).unwrap_or(1024);
    Tracked {
        source: SocketAddr::new(source, port),
        destination: SocketAddr::new(destination, 80),
        backend: None,
        protocol: 6,
        master: None,
    }
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0001 + number).into()
}

fn v6(number: u32) -> IpAddr {
    Ipv6Addr::from((0xfd_u128 << 120) + 1 + u128::from(number)).into()
}
