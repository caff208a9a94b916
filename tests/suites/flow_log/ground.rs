//! An empty namespace with a few rules of the shape that netpol's have, and a reader in it.

use std::net::UdpSocket;
use std::time::Duration;

use netpol_agent::flow_log::kernel::Message;
use netpol_agent::flow_log::kernel::nflog::{NflogSettings, RECEIVE_BUFFER};
use netpol_agent::flow_log::kernel::reader::{Reader, ReaderSettings};
use netpol_agent::flow_log::sighting::Sighting;
use netpol_tests::lab::Netns;
use policy_compiler::model::{Direction, ObjectKey};
use policy_compiler::ruleset::{DropOf, DropPoint, PodId};
use tokio::sync::mpsc::Receiver;

pub(crate) const GROUP: u16 = 9808;
/// What the rules drop for `shop/web`.
pub(crate) const DROPPED: std::ops::Range<u16> = 9000..9100;
/// What they log in the same group, but not as netpol does.
pub(crate) const FOREIGN: u16 = 8000;
pub(crate) const COUNTER: &str = "pod/shop/web/ingress";
/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn web() -> DropPoint {
    let key: ObjectKey = "shop/web".parse().expect("a key");
    DropPoint {
        direction: Direction::Ingress,
        of: DropOf::Pod(PodId::of(&key, "1")),
    }
}

/// A namespace whose loopback interface drops [`DROPPED`].
pub(crate) fn namespace(name: &str) -> Netns {
    let netns = Netns::new(name).expect("a namespace");
    netns.ip("link set lo up").expect("lo is up");
    let (first, last) = (DROPPED.start, DROPPED.end - 1);
    let prefix = web();
    let rules = format!(
        r#"table inet netpol {{
            counter {COUNTER} {{ }}
            counter link-local {{ }}
            chain in {{
                type filter hook input priority 0;
                udp dport {FOREIGN} log prefix "somebody's" group {GROUP}
                udp dport {first}-{last} log prefix "{prefix}" group {GROUP} snaplen 128
                udp dport {first}-{last} counter name {COUNTER:?} drop
            }}
        }}"#
    );
    netns.nft(&rules).expect("the rules are loaded");
    netns
}

pub(crate) fn nflog_settings() -> NflogSettings {
    NflogSettings {
        group: GROUP,
        snaplen: 128,
        receive_buffer: RECEIVE_BUFFER,
    }
}

/// Sends `count` packets from one socket to one port of [`DROPPED`] after the other, and returns its port.
pub(crate) fn send(netns: &Netns, from: &str, to: &str, count: u16) -> u16 {
    let (from, to) = (from.to_owned(), to.to_owned());
    netns
        .call(move || {
            let socket = UdpSocket::bind((from.as_str(), 0)).expect("a socket");
            for port in DROPPED.cycle().take(usize::from(count)) {
                socket
                    .send_to(&[0; 200], (to.as_str(), port))
                    .expect("sent");
            }
            socket.local_addr().expect("an address").port()
        })
        .expect("the namespace lives")
}

/// A started reader and what it says.
pub(crate) struct Log {
    pub(crate) reader: Reader,
    pub(crate) messages: Receiver<Message>,
    runtime: tokio::runtime::Runtime,
}

impl Log {
    pub(crate) fn start(netns: &Netns) -> Self {
        let settings = ReaderSettings {
            nflog: nflog_settings(),
            window: Duration::from_secs(10),
        };
        let started = netns.call(move || Reader::start(settings));
        let (reader, messages) = started.expect("a namespace").expect("a reader");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        Self {
            reader,
            messages,
            runtime,
        }
    }

    pub(crate) fn next(&mut self) -> Option<Message> {
        let next = async { tokio::time::timeout(PATIENCE, self.messages.recv()).await };
        self.runtime.block_on(next).expect("a message in time")
    }

    /// The next message but counters.
    pub(crate) fn news(&mut self) -> Option<Message> {
        loop {
            match self.next() {
                Some(Message::Reading { .. }) => {}
                other => return other,
            }
        }
    }

    pub(crate) fn sighting(&mut self) -> Sighting {
        match self.news() {
            Some(Message::Sighting(sighting)) => sighting,
            other => panic!("{other:?}"),
        }
    }

    /// What is said until the counter stands at `count`.
    pub(crate) fn until_counted(&mut self, count: u64) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.next() {
                Some(Message::Reading { counters, .. }) => {
                    if counters.contains(&(COUNTER.to_owned(), count)) {
                        return messages;
                    }
                }
                Some(message) => messages.push(message),
                None => panic!("ended before {count} were counted"),
            }
        }
    }

    /// Everything said after it was told to stop.
    pub(crate) fn stop(mut self) -> Vec<Message> {
        self.reader.stop();
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// Runs a test of this program once more as root without `CAP_NET_ADMIN`, with the variable `inside` set: it has to pass.
pub(crate) fn again_without_net_admin(test: &str, inside: &str) {
    let this = std::env::current_exe().expect("a path");
    let output = std::process::Command::new("setpriv")
        .args(["--inh-caps=-net_admin", "--bounding-set=-net_admin"])
        .arg(this)
        .args(["--exact", test])
        .env(inside, "1")
        .output()
        .expect("setpriv runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
