//! Connections that nobody opened: entries of the kernel's list, made by hand and by the thousand.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr as Port};

/// An entry to make.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// Who opens it.
    pub source: SocketAddr,
    /// To whom, before NAT.
    pub destination: SocketAddr,
    /// Who accepts it, if that is another.
    pub backend: Option<SocketAddr>,
    /// IP's number of a protocol with ports.
    pub protocol: u8,
    /// Source and destination, as it was opened, of the entry that brought it about, of the same protocol.
    pub master: Option<(SocketAddr, SocketAddr)>,
}

/// Entries that go out at once, to be within what a socket sends without asking.
const BATCH: usize = 200;
/// Seconds that entries last.
const LIFE: u32 = 3600;

// `CTA_…`
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const TIMEOUT: u16 = 7;
const MASTER: u16 = 14;
/// `IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED`: no room is made at their expense.
const SETTLED: u32 = 0b1110;

const NESTED: u16 = 0x8000;

/// Makes entries in the network namespace of this thread.
pub fn track(entries: impl IntoIterator<Item = Tracked>) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    let mut entries = entries.into_iter();
    loop {
        let batch: Vec<Tracked> = entries.by_ref().take(BATCH).collect();
        let Some((last, others)) = batch.split_last() else {
            return Ok(());
        };
        // There is word of those that fail; the last one answers for the rest.
        let mut bytes: Vec<u8> = others.iter().flat_map(|e| message(e, false)).collect();
        bytes.extend(message(last, true));
        socket.send_to(&bytes, &Port::new(0, 0), 0)?;
        let (answer, _) = socket.recv_from_full()?;
        let code = answer.get(16..20).and_then(|code| code.first_chunk());
        match code.map(|code| i32::from_ne_bytes(*code)) {
            Some(0) => {}
            Some(code) => return Err(io::Error::from_raw_os_error(-code)),
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// `IPCTNL_MSG_CT_NEW`, as a request to make an entry.
fn message(entry: &Tracked, is_last: bool) -> Vec<u8> {
    /// `NLM_F_REQUEST | NLM_F_EXCL | NLM_F_CREATE`
    const MAKE: u16 = 0x601;
    /// `NLM_F_ACK`
    const ACKNOWLEDGE: u16 = 4;
    let (family, protocol): (u8, _) = (if entry.source.is_ipv4() { 2 } else { 10 }, entry.protocol);
    let end = entry.backend.unwrap_or(entry.destination);
    let mut body = vec![family, 0, 0, 0];
    body.extend(tuple(ORIGINAL, entry.source, entry.destination, protocol));
    body.extend(tuple(REPLY, end, entry.source, protocol));
    body.extend(attribute(STATUS, &SETTLED.to_be_bytes()));
    body.extend(attribute(TIMEOUT, &LIFE.to_be_bytes()));
    if let Some((source, destination)) = entry.master {
        body.extend(tuple(MASTER, source, destination, protocol));
    }
    let flags = if is_last { MAKE | ACKNOWLEDGE } else { MAKE };
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(0x100_u16.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn tuple(kind: u16, source: SocketAddr, destination: SocketAddr, protocol: u8) -> Vec<u8> {
    let address = |kind: u16, end: SocketAddr| match end.ip() {
        IpAddr::V4(v4) => attribute(kind, &v4.octets()),
        IpAddr::V6(v6) => attribute(kind + 2, &v6.octets()),
    };
    let addresses = [address(1, source), address(2, destination)].concat();
    let ports = [
        attribute(1, &[protocol]),
        attribute(2, &source.port().to_be_bytes()),
        attribute(3, &destination.port().to_be_bytes()),
    ];
    let both = [
        attribute(1 | NESTED, &addresses),
        attribute(2 | NESTED, &ports.concat()),
    ];
    attribute(kind | NESTED, &both.concat())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
