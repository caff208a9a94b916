//! Numbered datagrams, sent and counted by threads in the networks of pods, nodes and others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

/// How long a receiver waits before it looks whether it is over.
const TURN: Duration = Duration::from_millis(50);
/// Room for what arrives while the machine is busy with something else: a datagram that a receiver loses would count as
/// lost on the way.
const RECEIVE_BUFFER: usize = 32 << 20;

/// Who was heard, by the name in the datagrams, with their numbers. Who says no number is heard by its address.
pub type Heard = BTreeMap<String, BTreeSet<u32>>;

/// Takes in datagrams on a port, in a network, until it is dropped.
pub struct Receiver {
    worker: Worker,
    heard: Arc<Mutex<Heard>>,
}

impl Receiver {
    /// Listens when this returns, for both families.
    pub fn start(network: &File, port: u16) -> io::Result<Self> {
        let heard = Arc::new(Mutex::new(Heard::new()));
        let record = Arc::clone(&heard);
        let worker = Worker::start(
            network,
            move || {
                let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
                socket.set_only_v6(false)?;
                setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
                socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
                socket.set_read_timeout(Some(TURN))?;
                Ok(UdpSocket::from(socket))
            },
            move |socket| {
                let mut datagram = [0; 128];
                if let Ok((length, from)) = socket.recv_from(&mut datagram) {
                    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
                    note(&mut record, &datagram[..length], from);
                }
            },
        )?;
        Ok(Self { worker, heard })
    }

    /// Who was heard so far.
    pub fn heard(&self) -> Heard {
        let heard = self.heard.lock();
        heard.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it still listens.
    pub fn is_listening(&self) -> bool {
        self.worker.is_at_work()
    }
}

fn note(heard: &mut Heard, datagram: &[u8], from: SocketAddr) {
    let text = String::from_utf8_lossy(datagram);
    let mut words = text.split(' ');
    let name = words.next().unwrap_or_default();
    if let Some(number) = words.next().and_then(|number| number.parse().ok()) {
        heard.entry(name.to_owned()).or_default().insert(number);
    } else {
        let numbers = heard
            .entry(from.ip().to_canonical().to_string())
            .or_default();
        let next = numbers.last().map_or(0, |last| last + 1);
        numbers.insert(next);
    }
}

/// Sends to many addresses, over and over, until it is dropped.
pub struct Hammer {
    _worker: Worker,
}

impl Hammer {
    /// Sends a datagram to each of `targets`, again after each `pause`.
    pub fn start(network: &File, targets: Vec<SocketAddr>, pause: Duration) -> io::Result<Self> {
        let mut number = 0_u32;
        let worker = Worker::start(
            network,
            || {
                let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
                socket.set_only_v6(false)?;
                socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
                Ok(UdpSocket::from(socket))
            },
            move |socket| {
                let text = format!("hammer {number}");
                for target in &targets {
                    let mapped = match target {
                        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
                        SocketAddr::V6(_) => *target,
                    };
                    // An address that nobody has yet is refused: it is tried again in the next round.
                    let _ = socket.send_to(text.as_bytes(), mapped);
                }
                number = number.wrapping_add(1);
                std::thread::sleep(pause);
            },
        )?;
        Ok(Self { _worker: worker })
    }
}

/// A thread in a network that does one thing over and over. It never comes back to the network it was born in.
pub(super) struct Worker {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Returns when the thread has made what it works with, or could not.
    pub(super) fn start<T>(
        network: &File,
        open: impl FnOnce() -> io::Result<T> + Send + 'static,
        mut act: impl FnMut(&mut T) + Send + 'static,
    ) -> io::Result<Self> {
        let network = network.try_clone()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let (told, opened) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            let entered = setns(&network, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
            match entered.and_then(|()| open()) {
                Ok(mut socket) => {
                    let _ = told.send(Ok(()));
                    while !ends.load(Ordering::Relaxed) {
                        act(&mut socket);
                    }
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                }
            }
        })?;
        opened
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended")))?;
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }

    fn is_at_work(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so itself.
            let _ = thread.join();
        }
    }
}
