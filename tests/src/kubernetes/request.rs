//! Requests from the networks of pods and others, without a program in the pod: a thread enters the pod's own network
//! namespace and asks from there.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::{Cluster, ClusterError, Node, config};
use crate::lab::uninterrupted;

/// How long it is waited for an answer that must not come. Between two namespaces it takes a thousandth of that.
const SILENT: Duration = Duration::from_secs(1);
/// And for one that must: the servers are programs of a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(3);

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// HTTP, which `agnhost netexec` answers.
    Tcp,
    /// One datagram, which it answers as well.
    Udp,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The name of the pod that answered.
    Pod(String),
    /// Nothing came back: what policies do.
    Silence,
    /// Something else: refused, unreachable.
    Fault(String),
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => write!(f, "answered by {name}"),
            Self::Silence => f.write_str("silence"),
            Self::Fault(problem) => f.write_str(problem),
        }
    }
}

impl Cluster {
    /// The network namespace of the pod that has this address; its family may be any that the pod has.
    pub fn pod_network(&self, address: IpAddr) -> Result<File, ClusterError> {
        let node = self.nodes().iter().find(|node| {
            let ranges = node.spec().pod_ranges();
            ranges.iter().any(|range| range.contains(&address))
        });
        let missing = |node: &str| ClusterError::NoSuchPod {
            node: node.to_owned(),
            address: address.to_string(),
        };
        let node = node.ok_or_else(|| missing("the cluster"))?;
        network_on(node, address).ok_or_else(|| missing(node.spec().name))
    }
}

impl Node {
    /// Has the node's next pod get these addresses, provided that they are free by then: `host-local` goes on from the last
    /// ones it gave away.
    pub fn leave_next(&self, addresses: &[IpAddr]) -> Result<(), ClusterError> {
        for (range, address) in addresses.iter().enumerate() {
            let before = match address {
                IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(*v4) - 1)),
                IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(*v6) - 1)),
            };
            let network = config::NETWORK;
            let path = format!("/var/lib/cni/networks/{network}/last_reserved_ip.{range}");
            std::fs::write(self.file(&path), before.to_string())
                .map_err(ClusterError::io(format!("write {path}")))?;
        }
        Ok(())
    }
}

/// `host-local` keeps a file for each address, with the sandbox that has it; the plugins' results are kept by sandbox.
fn network_on(node: &Node, address: IpAddr) -> Option<File> {
    let read = |path: String| std::fs::read_to_string(node.file(&path)).ok();
    let network = config::NETWORK;
    let owner = read(format!("/var/lib/cni/networks/{network}/{address}"))?;
    let sandbox = owner.lines().next()?.trim();
    let result = read(format!("/var/lib/cni/results/{network}-{sandbox}-eth0"))?;
    let result: serde_json::Value = serde_json::from_str(&result).ok()?;
    let path = result["netns"].as_str()?;
    // A link of the machine's leads from one folder to the other, which is another one here.
    let path = path.strip_prefix("/var").unwrap_or(path);
    File::open(node.file(path)).ok()
}

/// Asks from inside a network namespace who answers there, if somebody should.
pub fn request(from: &File, to: SocketAddr, transport: Transport, passes: bool) -> Reply {
    let patience = if passes { PATIENCE } else { SILENT };
    let asked = inside(from, || match transport {
        Transport::Tcp => over_tcp(to, patience),
        Transport::Udp => over_udp(to, patience),
    });
    asked.map_or_else(|error| fault(&error), Reply::Pod)
}

/// Sends a datagram every millisecond until it is over; returns how many were answered.
pub fn knock(from: &File, to: SocketAddr, is_over: &AtomicBool) -> std::io::Result<usize> {
    inside(from, || {
        let socket = datagrams(to)?;
        socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        let mut answers = 0;
        let mut answer = [0; 512];
        while !is_over.load(Ordering::Relaxed) {
            socket.send(b"hostname")?;
            answers += usize::from(socket.recv(&mut answer).is_ok());
        }
        Ok(answers)
    })
}

/// Does something inside a network namespace.
pub fn inside<T: Send>(
    network: &File,
    act: impl FnOnce() -> std::io::Result<T> + Send,
) -> std::io::Result<T> {
    // The thread never comes back to the namespace it was born in, and ends here.
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            act()
        });
        thread.join()
    });
    done.unwrap_or_else(|_| Err(std::io::Error::other("panicked")))
}

fn fault(error: &std::io::Error) -> Reply {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match error.kind() {
        TimedOut | WouldBlock => Reply::Silence,
        _ => Reply::Fault(error.to_string()),
    }
}

fn over_tcp(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET /hostname HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    body.map(|body| body.trim().to_owned())
        .ok_or_else(|| std::io::Error::other(format!("an odd answer: {answer:?}")))
}

fn over_udp(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let socket = datagrams(to)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(b"hostname")?;
    let mut answer = [0; 512];
    let length = uninterrupted(|| socket.recv(&mut answer))?;
    Ok(String::from_utf8_lossy(&answer[..length]).trim().to_owned())
}

pub(super) fn datagrams(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if to.is_ipv4() {
        [0; 4].into()
    } else {
        [0_u8; 16].into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket)
}
