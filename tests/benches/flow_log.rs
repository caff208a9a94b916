//! What the flow log's path from the kernel sustains: packets dropped in a namespace, through NFLOG, the reader's thread and
//! the fold, to whoever takes the sightings. Needs root.
//!
//! Sender and reader share the machine; the packets' way through the loopback interface and the rules is the sender's time.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use netpol_agent::flow_log::kernel::nflog::{NflogSettings, RECEIVE_BUFFER};
use netpol_agent::flow_log::kernel::reader::{Reader, ReaderSettings};
use netpol_agent::flow_log::kernel::{Message, ReaderTotals};
use netpol_tests::lab::{Netns, privileged};

const GROUP: u16 = 9808;
const PREFIX: &str = "netpol/ingress/000102030405060708090a0b0c0d0e0f";
/// How long each rate is kept up.
const LASTING: Duration = Duration::from_secs(3);
/// Packets sent before the sender looks at the clock.
const BURST: u64 = 32;

/// Which ports are sent to, that is, how many flows there are.
#[derive(Clone, Copy)]
struct Flows(u16);

fn main() {
    if !privileged("flow_log") {
        return;
    }
    println!(
        "{:>8} {:>8} {:>10} {:>10} {:>8} {:>8} {:>10}",
        "flows", "asked/s", "dropped/s", "dropped", "lost", "messages", "µs CPU each"
    );
    for flows in [Flows(100), Flows(u16::MAX - 1024)] {
        for rate in [1_000, 25_000, 50_000, 100_000, 200_000, u64::MAX] {
            measure(flows, rate);
        }
    }
}

fn measure(flows: Flows, rate: u64) {
    let netns = Netns::new("bench").unwrap_or_else(|error| panic!("{error}"));
    netns
        .ip("link set lo up")
        .and_then(|()| {
            netns.nft(&format!(
                "table inet netpol {{ counter dropped {{ }}
                 chain in {{ type filter hook input priority 0
                 meta l4proto udp log prefix \"{PREFIX}\" group {GROUP} snaplen 128
                 meta l4proto udp counter name dropped drop\n}}\n}}"
            ))
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let settings = ReaderSettings {
        nflog: NflogSettings {
            group: GROUP,
            snaplen: 128,
            receive_buffer: RECEIVE_BUFFER,
            run: None,
        },
        window: Duration::from_secs(1),
    };
    let started = netns.call(move || Reader::start(settings));
    let (reader, mut messages) = started
        .unwrap_or_else(|error| panic!("{error}"))
        .unwrap_or_else(|error| panic!("{error}"));
    let taker = std::thread::spawn(move || {
        let mut taken = 0_u64;
        while let Some(message) = messages.blocking_recv() {
            taken += u64::from(!matches!(message, Message::Reading { .. }));
        }
        taken
    });
    let totals = reader.totals();
    let before = reader_cpu();
    let (sent, lasted) = netns
        .call(move || send(flows, rate))
        .unwrap_or_else(|error| panic!("{error}"));
    // If the very last are lost, nothing comes that would say so.
    let settled = Instant::now() + Duration::from_secs(2);
    while seen(&totals) < sent && Instant::now() < settled {
        std::thread::sleep(Duration::from_millis(10));
    }
    let cpu = reader_cpu().saturating_sub(before);
    reader.stop();
    let messages = taker.join().unwrap_or_default();
    let each = cpu.as_secs_f64() * 1e6 / float(totals.received().max(1));
    println!(
        "{:>8} {:>8} {:>10.0} {:>10} {:>8} {:>8} {:>10.2}",
        flows.0,
        if rate == u64::MAX {
            "all".to_owned()
        } else {
            rate.to_string()
        },
        float(sent) / lasted.as_secs_f64(),
        sent,
        sent - totals.received(),
        messages,
        each
    );
}

fn seen(totals: &ReaderTotals) -> u64 {
    totals.received() + totals.lost_in_kernel()
}

/// Sends at `rate` for a while; says how many and how long it took.
fn send(flows: Flows, rate: u64) -> (u64, Duration) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    let start = Instant::now();
    let mut sent = 0;
    let mut ports = (1024..1024 + flows.0).cycle();
    while start.elapsed() < LASTING {
        let due = start.elapsed().as_secs_f64() * float(rate);
        if float(sent) > due {
            std::hint::spin_loop();
            continue;
        }
        for port in ports.by_ref().take(usize::try_from(BURST).unwrap_or(1)) {
            sent += u64::from(socket.send_to(&[0; 200], ("127.0.0.1", port)).is_ok());
        }
    }
    (sent, start.elapsed())
}

/// Time that the reader's thread has run. A thread that has ended is not counted any more.
fn reader_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let running: u64 = tasks
        .flatten()
        .filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            name.trim() == "netpol-nflog"
        })
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|times| times.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(running)
}

/// Good enough for rates.
#[expect(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}
