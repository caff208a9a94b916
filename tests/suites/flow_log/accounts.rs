//! Every dropped packet is told of, or counted as lost; and the kernel's own count.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netpol_agent::flow_log::event::LostAt;
use netpol_agent::flow_log::kernel::Message;
use netpol_agent::flow_log::kernel::counters::Counters;
use netpol_agent::flow_log::kernel::nflog::{Nflog, NflogSettings, Read};
use netpol_agent::flow_log::sighting::{Extent, Sighting};
use netpol_tests::lab::{Netns, privileged};

use crate::ground::{Log, PATIENCE, namespace, nflog_settings, send};

#[test]
fn what_overflows_is_counted() {
    if !privileged("what_overflows_is_counted") {
        return;
    }
    let netns = namespace("overflow");
    let opened = netns.call(|| {
        Nflog::open(&NflogSettings {
            receive_buffer: 1,
            ..nflog_settings()
        })
    });
    let mut nflog = opened.expect("a namespace").expect("an open socket");
    let (mut sent, mut received, mut lost, mut gaps) = (0, 0, 0, 0);
    for _ in 0..2 {
        send(&netns, "127.0.0.1", "127.0.0.1", 20_000);
        sent += 20_000;
        let (start, mut quiet) = (Instant::now(), Instant::now());
        while received + lost < sent {
            match nflog.read(|_| received += 1).expect("read") {
                Read::Datagram(counts) => lost += counts.lost,
                Read::Gap => gaps += 1,
                // What was lost at the end shows with a packet after it.
                Read::Empty if quiet.elapsed() > Duration::from_millis(100) => {
                    send(&netns, "127.0.0.1", "127.0.0.1", 1);
                    sent += 1;
                    quiet = Instant::now();
                }
                Read::Empty => std::thread::yield_now(),
            }
            assert!(start.elapsed() < PATIENCE, "{received} + {lost} < {sent}");
        }
    }
    assert!(lost > 0 && gaps > 0, "{received} received, {gaps} gaps");
    assert_eq!(received + lost, sent);
}

#[test]
fn a_flood_is_accounted_for() {
    const FLOOD: u64 = 200_000;
    if !privileged("a_flood_is_accounted_for") {
        return;
    }
    let netns = namespace("flood");
    let mut log = Log::start(&netns);
    assert!(matches!(log.news(), Some(Message::Up)));
    for _ in 0..FLOOD / 50_000 {
        send(&netns, "127.0.0.1", "127.0.0.1", 50_000);
    }
    let mut messages = log.until_counted(FLOOD);
    // The next time it is counted, the reader has caught up. What was lost at the end shows with a packet after it.
    messages.extend(log.until_counted(FLOOD));
    send(&netns, "127.0.0.1", "127.0.0.1", 1);
    messages.extend(log.until_counted(FLOOD + 1));
    messages.extend(log.until_counted(FLOOD + 1));
    let totals = log.reader.totals();
    messages.extend(log.stop());
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for message in messages {
        let (what, count) = match message {
            Message::Sighting(Sighting { extent, .. }) => match extent {
                Extent::First => ("told", 1),
                Extent::Connection => ("told", 0),
                Extent::Repeats { count, .. } | Extent::Others { count, .. } => ("told", count),
            },
            Message::Lost { count, at } => match at {
                LostAt::KernelBuffer => ("kernel", count),
                LostAt::AgentQueue | LostAt::Output | LostAt::RateLimit | LostAt::CutLimit => {
                    ("agent", count)
                }
            },
            Message::Reading { .. } => continue,
            Message::Up | Message::Down(_) => panic!("{message:?}"),
        };
        *sums.entry(what).or_default() += count;
    }
    assert_eq!(sums.values().sum::<u64>(), FLOOD + 1, "{sums:?}");
    let lost_in_kernel = sums.get("kernel").copied().unwrap_or(0);
    assert_eq!(lost_in_kernel, totals.lost_in_kernel());
    assert_eq!(totals.received() + lost_in_kernel, FLOOD + 1);
}

#[test]
fn counters_of_the_table_only() {
    const COUNTERS: usize = 3000;
    if !privileged("counters_of_the_table_only") {
        return;
    }
    let netns = Netns::new("counters").expect("a namespace");
    let read = || {
        let counters = netns.call(|| Counters::open()?.read("netpol"));
        counters.expect("a namespace").expect("counters")
    };
    assert_eq!(read(), []);
    let named: Vec<String> = (0..COUNTERS)
        .map(|n| format!("counter pod/shop/web-{n}/egress {{ packets {n} bytes 1; }}"))
        .collect();
    let named = named.join("\n");
    let script = format!(
        "table inet netpol {{ {named}
         quota q {{ over 1 mbytes; }}
 }}
         table ip netpol {{ counter other-family {{ }}; }}
         table inet other {{ counter other-table {{ }}; }}"
    );
    netns.nft(&script).expect("the counters are loaded");
    let found: BTreeMap<String, u64> = read().into_iter().collect();
    let expected: BTreeMap<String, u64> = (0_u64..)
        .take(COUNTERS)
        .map(|n| (format!("pod/shop/web-{n}/egress"), n))
        .collect();
    assert_eq!(found, expected);
}
