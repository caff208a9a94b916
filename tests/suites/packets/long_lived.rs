//! Flows that go on and on, both ends sending all the time, with numbers: so that each packet that is missing shows, and
//! when the last one came through.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use netpol_tests::lab::{Lab, Netns, Place};
use socket2::{Domain, Protocol, Socket, Type};

const LONG: Duration = Duration::from_secs(5);
const BETWEEN_PACKETS: Duration = Duration::from_millis(4);
/// Bytes of each number that is sent.
const NUMBER: usize = 8;

/// How a flow is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Echo,
}

/// A flow to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) from: Place,
    pub(crate) to: Place,
    /// What the client asks for: the server, or a Service that leads there.
    pub(crate) via: SocketAddr,
    /// Where the server listens.
    pub(crate) server: SocketAddr,
}

enum Socketed {
    Tcp(TcpStream),
    /// The server's end is not connected: it sends to whom it heard last.
    Udp(UdpSocket),
    Echo(UdpSocket, u16, bool),
}

/// One end, and what it knows.
struct End {
    socket: Socketed,
    peer: Option<SocketAddr>,
    sent: u64,
    received: u64,
    last: SystemTime,
    /// TCP was broken off.
    is_broken: bool,
}

/// What is known of a flow at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When the last packet came to either end.
    pub(crate) last: SystemTime,
    /// Either end was told that it is over.
    pub(crate) is_broken: bool,
    /// Numbers that went out and have not come in, in either direction.
    pub(crate) missing: u64,
    pub(crate) received: u64,
    /// So often in a row both ends have had a turn, and nothing came to either.
    pub(crate) quiet: u32,
}

struct Flow {
    plan: Plan,
    client: End,
    /// Nobody's, where the kernel answers.
    server: Option<End>,
    quiet: u32,
}

/// Flows that go on until this is dropped.
pub(crate) struct Flows {
    all: Arc<Mutex<Vec<Flow>>>,
    is_over: Arc<AtomicBool>,
    is_silent: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
}

impl Flows {
    /// Opens them all; panics where one is not let through.
    pub(crate) fn open(lab: &Lab, plans: &[Plan]) -> Self {
        let flows = plans.iter().map(|plan| Flow::open(lab, plan)).collect();
        let flows: Arc<Mutex<Vec<Flow>>> = Arc::new(Mutex::new(flows));
        let [is_over, is_silent] = [false; 2].map(|flag| Arc::new(AtomicBool::new(flag)));
        let (pumped, over, silent) = (flows.clone(), is_over.clone(), is_silent.clone());
        let pump = std::thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                for flow in pumped.lock().expect("no panic").iter_mut() {
                    flow.turn(!silent.load(Ordering::Acquire));
                }
                std::thread::sleep(BETWEEN_PACKETS);
            }
        });
        let flows = Self {
            all: flows,
            is_over,
            is_silent,
            pump: Some(pump),
        };
        let deadline = Instant::now() + LONG;
        while !flows.seen().iter().all(|seen| seen.received >= 10) {
            assert!(Instant::now() < deadline, "{:?}", flows.stuck());
            std::thread::sleep(BETWEEN_PACKETS);
        }
        flows
    }

    /// What is known of each, in the plans' order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let flows = self.all.lock().expect("no panic");
        flows.iter().map(Flow::seen).collect()
    }

    fn stuck(&self) -> Vec<String> {
        let flows = self.all.lock().expect("no panic");
        let stuck = flows.iter().filter(|flow| flow.seen().received < 10);
        stuck.map(|flow| format!("{:?}", flow.plan)).collect()
    }

    /// Sends nothing more, and waits until what is on its way has come, or must be lost.
    pub(crate) fn hush(&self) {
        self.is_silent.store(true, Ordering::Release);
        let deadline = Instant::now() + LONG;
        while self.seen().iter().any(|seen| seen.missing > 0) && Instant::now() < deadline {
            std::thread::sleep(BETWEEN_PACKETS);
        }
    }

    /// The clients' ports, which tell flows apart in logs. An echo's is its identifier.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let flows = self.all.lock().expect("no panic");
        flows.iter().map(|flow| flow.client.port()).collect()
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(pump) = self.pump.take() {
            let _ = pump.join();
        }
    }
}

fn netns<'a>(lab: &'a Lab, place: &Place) -> &'a Netns {
    lab.host(place).expect("it is there").netns()
}

impl Flow {
    fn open(lab: &Lab, plan: &Plan) -> Self {
        let (from, to) = (netns(lab, &plan.from), netns(lab, &plan.to));
        let (server, via) = (plan.server, plan.via);
        let (client, server) = match plan.kind {
            Kind::Tcp => {
                let listener = to.call(move || TcpListener::bind(server));
                let listener = listener.expect("alive").expect("a free port");
                let connect = move || TcpStream::connect_timeout(&via, LONG);
                let client = from.call(connect).expect("alive");
                let client = client.unwrap_or_else(|error| panic!("{plan:?}: {error}"));
                let (server, _) = listener.accept().expect("it is connected");
                for stream in [&client, &server] {
                    stream.set_nonblocking(true).expect("a socket");
                    stream.set_nodelay(true).expect("a socket");
                }
                (Socketed::Tcp(client), Some(Socketed::Tcp(server)))
            }
            Kind::Udp => {
                let any = unspecified(via.ip());
                let server = to.call(move || UdpSocket::bind(server));
                let client = from.call(move || {
                    UdpSocket::bind((any, 0)).and_then(|s| s.connect(via).map(|()| s))
                });
                let [client, server] = [client, server].map(|socket| {
                    let socket = socket.expect("alive").expect("a socket");
                    socket.set_nonblocking(true).expect("a socket");
                    socket
                });
                (Socketed::Udp(client), Some(Socketed::Udp(server)))
            }
            Kind::Echo => {
                let socket = from.call(move || ping(via.ip())).expect("alive");
                let socket = socket.expect("a socket");
                let port = socket.local_addr().expect("bound").port();
                (Socketed::Echo(socket, port, via.is_ipv4()), None)
            }
        };
        let end = |socket, peer| End {
            socket,
            peer,
            sent: 0,
            received: 0,
            last: SystemTime::now(),
            is_broken: false,
        };
        Self {
            plan: plan.clone(),
            client: end(client, Some(via)),
            server: server.map(|socket| end(socket, None)),
            quiet: 0,
        }
    }

    fn turn(&mut self, is_sending: bool) {
        let before = self.received();
        for end in std::iter::once(&mut self.client).chain(&mut self.server) {
            end.receive();
            if is_sending {
                end.send();
            }
        }
        self.quiet = if self.received() == before {
            self.quiet.saturating_add(1)
        } else {
            0
        };
    }

    /// By either end.
    fn received(&self) -> u64 {
        let server = self.server.as_ref().map_or(0, |end| end.received);
        self.client.received + server
    }

    fn seen(&self) -> Seen {
        let client = &self.client;
        let Some(server) = &self.server else {
            return Seen {
                last: client.last,
                is_broken: false,
                missing: client.sent.saturating_sub(client.received),
                received: client.received,
                quiet: self.quiet,
            };
        };
        let missing = |from: &End, to: &End| from.sent.saturating_sub(to.received);
        Seen {
            last: client.last.max(server.last),
            is_broken: client.is_broken || server.is_broken,
            missing: missing(client, server) + missing(server, client),
            received: client.received.min(server.received),
            quiet: self.quiet,
        }
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() {
        [0; 4].into()
    } else {
        [0; 16].into()
    }
}

/// Its port is the identifier of the requests.
fn ping(to: IpAddr) -> std::io::Result<UdpSocket> {
    let (domain, protocol) = if to.is_ipv4() {
        (Domain::IPV4, Protocol::ICMPV4)
    } else {
        (Domain::IPV6, Protocol::ICMPV6)
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.bind(&SocketAddr::new(unspecified(to), 0).into())?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from(OwnedFd::from(socket)))
}

impl End {
    fn port(&self) -> u16 {
        match &self.socket {
            Socketed::Tcp(stream) => stream.local_addr().expect("bound").port(),
            Socketed::Udp(socket) => socket.local_addr().expect("bound").port(),
            Socketed::Echo(_, port, _) => *port,
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            let received = match &mut self.socket {
                Socketed::Tcp(_) if self.is_broken => return,
                Socketed::Tcp(stream) => match stream.read(&mut buffer) {
                    Ok(0) => Err(ErrorKind::ConnectionReset.into()),
                    other => other,
                },
                Socketed::Udp(socket) => socket.recv_from(&mut buffer).map(|(length, from)| {
                    self.peer = Some(from);
                    length
                }),
                Socketed::Echo(socket, ..) => socket.recv(&mut buffer).map(|_| NUMBER),
            };
            match received {
                Ok(length) => {
                    // TCP may hand over parts of numbers.
                    self.received += length as u64;
                    self.last = SystemTime::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.is_broken |= matches!(self.socket, Socketed::Tcp(_));
                    return;
                }
            }
        }
    }

    fn send(&mut self) {
        let number = self.sent.to_be_bytes();
        let sent = match (&mut self.socket, self.peer) {
            (Socketed::Tcp(_), _) if self.is_broken => return,
            (Socketed::Tcp(stream), _) => stream.write(&number),
            (_, None) => return,
            // The client's is connected, and says of itself where to.
            (Socketed::Udp(socket), Some(peer)) => match socket.peer_addr() {
                Ok(_) => socket.send(&number),
                Err(_) => socket.send_to(&number, peer),
            },
            (Socketed::Echo(socket, _, is_v4), _) => {
                let kind = if *is_v4 { 8 } else { 128 };
                let mut request = [0; 8 + NUMBER];
                request[0] = kind;
                request[6..8].copy_from_slice(&number[6..]);
                socket.send(&request).map(|_| NUMBER)
            }
        };
        match sent {
            Ok(length) => self.sent += length as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.is_broken |= matches!(self.socket, Socketed::Tcp(_)),
        }
    }
}
