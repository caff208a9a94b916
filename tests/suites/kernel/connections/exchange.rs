//! A connection between real sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{SockAddr, Socket};

/// How long anything that arrives may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for what must not arrive.
const SILENCE: Duration = Duration::from_millis(50);

/// A connection that is open.
pub(super) enum Exchange {
    Tcp(TcpStream, TcpStream),
    Udp(UdpSocket, UdpSocket),
    /// With its identifier, and the number of the last request.
    Icmp(Socket, SocketAddr, u16, u16),
}

impl Exchange {
    /// The port that it was opened from; ICMP's identifier.
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Tcp(here, _) => here.local_addr().expect("bound").port(),
            Self::Udp(here, _) => here.local_addr().expect("bound").port(),
            Self::Icmp(_, _, id, _) => *id,
        }
    }

    /// Sends from the client, and says whether it arrives, of ICMP whether the answer comes.
    pub(super) fn passes(&mut self) -> bool {
        self.sends(PATIENCE)
    }

    /// Sends from the client, and says whether nothing comes of it.
    pub(super) fn is_silent(&mut self) -> bool {
        !self.sends(SILENCE)
    }

    fn sends(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut buffer = [0; 64];
        match self {
            Self::Tcp(here, there) => {
                here.write_all(b"x").expect("sent");
                until(deadline, |left| {
                    there.set_read_timeout(Some(left))?;
                    there.read(&mut buffer).map(|_| true)
                })
            }
            Self::Udp(here, there) => {
                here.send(b"x").expect("sent");
                until(deadline, |left| {
                    there.set_read_timeout(Some(left))?;
                    there.recv(&mut buffer).map(|_| true)
                })
            }
            Self::Icmp(here, to, id, sent) => {
                *sent += 1;
                let request = echo(to.ip(), *id, *sent);
                here.send_to(&request, &SockAddr::from(*to)).expect("sent");
                until(deadline, |left| {
                    here.set_read_timeout(Some(left))?;
                    let length = here.read(&mut buffer)?;
                    Ok(is_answer(&buffer[..length], request))
                })
            }
        }
    }
}

/// Tries until it is so, or the time has come. A signal may come between.
fn until(deadline: Instant, mut is_so: impl FnMut(Duration) -> io::Result<bool>) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        match is_so(left) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// An echo request. Of IPv6 the kernel adds the checksum.
fn echo(to: IpAddr, id: u16, number: u16) -> [u8; 8] {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let ([a, b], [c, d]) = (id.to_be_bytes(), number.to_be_bytes());
    let mut bytes = [kind, 0, 0, 0, a, b, c, d];
    let sum = 0x0800 + u32::from(id) + u32::from(number);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Whether this is the answer to an echo request. Such a socket hears of neighbours, too, and of late answers to others. Of
/// IPv4 the header comes before it.
fn is_answer(packet: &[u8], request: [u8; 8]) -> bool {
    let (kind, start) = match request[0] {
        8 => (0, 20),
        _ => (129, 0),
    };
    packet
        .get(start..)
        .is_some_and(|answer| answer.first() == Some(&kind) && answer.get(4..8) == request.get(4..))
}
