//! Two streams of packets to one pod, one allowed and one not, numbered, so that each that is missing or came through shows.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use netpol_tests::lab::Lab;
use nix::sys::socket::{setsockopt, sockopt};

use crate::ledger::awaited;
use crate::world::{CALLER, NEAR, STRANGER, addresses, at};

/// Callers may send there, and nobody of the lab listens. What is not answered stays new to the connection tracking, so that
/// the rules judge every packet.
const PORT: u16 = 54;
const BETWEEN_PACKETS: Duration = Duration::from_millis(1);
/// For what comes while the machine is busy with something else: a packet that finds no room would count as missing.
const ROOM: usize = 32 << 20;
/// How soon a receiver sees that it is over.
const LOOK: Duration = Duration::from_millis(50);

/// Who sent a packet, and its number.
type Arrived = Arc<Mutex<BTreeSet<(IpAddr, u64)>>>;

/// The streams while they run, by both families.
pub(crate) struct Streams {
    stop: Arc<AtomicBool>,
    /// All that is to arrive has.
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    arrived: Arrived,
    sender: JoinHandle<()>,
    receivers: Vec<JoinHandle<()>>,
}

/// What became of them.
pub(crate) struct Ended {
    /// So many packets went out from either sender, by either family.
    pub(crate) sent: u64,
    /// Those of the allowed that did not arrive.
    pub(crate) missing: Vec<(IpAddr, u64)>,
    /// Those of the forbidden that did, by number.
    pub(crate) came_through: Vec<(IpAddr, u64)>,
}

fn bind(lab: &Lab, pod: &str, address: SocketAddr) -> UdpSocket {
    let netns = lab.host(&at(pod)).expect("a pod").netns();
    let socket = netns.call(move || UdpSocket::bind(address)).expect("alive");
    socket.unwrap_or_else(|error| panic!("{address}: {error}"))
}

impl Streams {
    pub(crate) fn start(lab: &Lab) -> Self {
        let [stop, over] = [false; 2].map(|flag| Arc::new(AtomicBool::new(flag)));
        let sent = Arc::new(AtomicU64::new(0));
        let arrived = Arrived::default();
        let to = addresses(NEAR).map(|address| SocketAddr::new(address, PORT));
        let receive = |address: &SocketAddr| {
            let socket = bind(lab, NEAR, *address);
            socket.set_read_timeout(Some(LOOK)).expect("a timeout");
            setsockopt(&socket, sockopt::RcvBufForce, &ROOM).expect("room");
            let (over, arrived) = (over.clone(), arrived.clone());
            std::thread::spawn(move || {
                let mut number = [0; 8];
                while !over.load(Ordering::Acquire) {
                    if let Ok((_, from)) = socket.recv_from(&mut number) {
                        let packet = (from.ip(), u64::from_be_bytes(number));
                        arrived.lock().expect("no panic").insert(packet);
                    }
                }
            })
        };
        let receivers = to.iter().map(receive).collect();
        // The forbidden first: where the allowed has arrived, it had its chance.
        let from = [STRANGER, CALLER]
            .map(|pod| addresses(pod).map(|address| bind(lab, pod, SocketAddr::new(address, 0))));
        let (told, count) = (stop.clone(), sent.clone());
        let sender = std::thread::spawn(move || {
            while !told.load(Ordering::Acquire) {
                let number = count.load(Ordering::Acquire).to_be_bytes();
                for (socket, to) in from.iter().flat_map(|sockets| sockets.iter().zip(to)) {
                    socket.send_to(&number, to).expect("sent");
                }
                count.fetch_add(1, Ordering::AcqRel);
                std::thread::sleep(BETWEEN_PACKETS);
            }
        });
        Self {
            stop,
            over,
            sent,
            arrived,
            sender,
            receivers,
        }
    }

    /// The number of the packets that go out next, or are going out.
    pub(crate) fn next(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Whether so many more have gone out before long.
    pub(crate) fn go_on(&self, count: u64) -> bool {
        let enough = self.next() + count;
        awaited(|| self.next() >= enough)
    }

    pub(crate) fn end(self) -> Ended {
        self.stop.store(true, Ordering::Release);
        self.sender.join().expect("the sender ends");
        let sent = self.sent.load(Ordering::Acquire);
        let callers = addresses(CALLER);
        let missing = || {
            let arrived = self.arrived.lock().expect("no panic");
            let all = (0..sent).flat_map(|number| callers.map(|caller| (caller, number)));
            all.filter(|packet| !arrived.contains(packet))
                .collect::<Vec<_>>()
        };
        awaited(|| missing().is_empty());
        let missing = missing();
        self.over.store(true, Ordering::Release);
        for receiver in self.receivers {
            receiver.join().expect("the receiver ends");
        }
        let arrived = self.arrived.lock().expect("no panic");
        let strangers = arrived.iter().filter(|(from, _)| !callers.contains(from));
        Ended {
            sent,
            missing,
            came_through: strangers.copied().collect(),
        }
    }
}
