//! The receiving ends: who listens, who answers, and the record of everything that arrived.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};

use super::packet::{
    ANSWER, IpProtocol, REQUEST, SctpChunk, SctpInit, Token, request_token, transport,
};
use super::spec::Place;

const RECEIVE_BUFFER: usize = 4 << 20;

/// Every request that reached a place, and the source address it came with there.
///
/// Kept by the receivers: a request that was let through and whose answer was lost is not a request that was blocked.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    seen: Mutex<HashMap<(Place, Token), IpAddr>>,
}

impl Arrivals {
    fn record(&self, place: &Place, token: Token, source: IpAddr) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((place.clone(), token), source);
    }

    /// Forgets everything: numbers are used again after some ten thousand requests.
    pub(super) fn clear(&self) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The source address of the request as `place` saw it, if it arrived there.
    pub(super) fn source(&self, place: &Place, token: Token) -> Option<IpAddr> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(place.clone(), token))
            .copied()
    }
}

/// A raw socket: it gets a copy of each packet of its protocol that the place accepts for itself, that is, after
/// the place's own input rules.
#[derive(Debug)]
pub(super) struct Sniffer {
    socket: UdpSocket,
    /// The same socket, registered with the runtime of its place.
    readiness: tokio::net::UdpSocket,
    protocol: IpProtocol,
    ipv4: bool,
    place: Place,
    arrivals: Arc<Arrivals>,
}

impl Sniffer {
    /// Opens the sockets of one place. To be called on its thread.
    pub(super) fn open_all(
        place: &Place,
        addresses: &[IpAddr],
        arrivals: &Arc<Arrivals>,
    ) -> io::Result<Vec<Arc<Self>>> {
        let mut sniffers = Vec::new();
        for protocol in IpProtocol::ALL {
            let wildcards = [
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ];
            // SCTP is answered by hand, which must be done from the address that was asked.
            let bound = if protocol == IpProtocol::Sctp {
                addresses
            } else {
                &wildcards
            };
            for &address in bound {
                let socket = raw_socket(protocol, address)?;
                let sniffer = Arc::new(Self {
                    readiness: tokio::net::UdpSocket::from_std(socket.try_clone()?)?,
                    socket,
                    protocol,
                    ipv4: address.is_ipv4(),
                    place: place.clone(),
                    arrivals: arrivals.clone(),
                });
                tokio::spawn(sniffer.clone().listen());
                sniffers.push(sniffer);
            }
        }
        Ok(sniffers)
    }

    async fn listen(self: Arc<Self>) {
        while self.readiness.readable().await.is_ok() {
            // Only an answer of `WouldBlock` makes the runtime wait for more.
            let _ = self
                .readiness
                .try_io(Interest::READABLE, || -> io::Result<()> {
                    self.drain();
                    Err(io::ErrorKind::WouldBlock.into())
                });
        }
    }

    /// Records everything that has arrived until now.
    pub(super) fn drain(&self) {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => self.received(&buffer[..length], from),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error for something this socket sent; it says nothing about arrivals.
                Err(_) => {}
            }
        }
    }

    fn received(&self, packet: &[u8], from: SocketAddr) {
        let Some(transport) = transport(packet, self.ipv4) else {
            return;
        };
        let Some(token) = request_token(self.protocol, transport, self.ipv4) else {
            return;
        };
        self.arrivals.record(&self.place, token, from.ip());
        if self.protocol == IpProtocol::Sctp
            && let Some(init) = SctpInit::decode(transport)
        {
            let answer = SctpInit {
                source: init.destination,
                destination: init.source,
                verification_tag: init.initiate_tag,
                chunk: SctpChunk::InitAck,
                initiate_tag: !init.initiate_tag,
            };
            // If there is no way back the probe says so.
            let _ = self
                .socket
                .send_to(&answer.encode(), SocketAddr::new(from.ip(), 0));
        }
    }
}

/// A raw socket as the standard library's UDP socket, whose reads and writes are the same system calls.
pub(super) fn raw_socket(protocol: IpProtocol, address: IpAddr) -> io::Result<UdpSocket> {
    let ipv4 = address.is_ipv4();
    let number = Protocol::from(i32::from(protocol.number(ipv4)));
    let socket = Socket::new(
        Domain::for_address(SocketAddr::new(address, 0)),
        Type::RAW,
        Some(number),
    )?;
    // Hundreds of requests may come at once; `set_recv_buffer_size` gives no more than the machine's limit.
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
    socket.bind(&SocketAddr::new(address, 0).into())?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from(OwnedFd::from(socket)))
}

/// Accepts connections on every address and sends back what it reads.
pub(super) async fn echo_tcp(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(echo_stream(stream))),
                // The connection was gone before it was accepted.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    Ok(())
}

async fn echo_stream(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}

/// Answers requests to one address, from that address.
pub(super) async fn echo_udp(address: SocketAddr) -> io::Result<()> {
    let socket = tokio::net::UdpSocket::bind(address).await?;
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            // An error is an earlier answer that nobody wanted.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            if buffer[..length].starts_with(REQUEST) {
                let _ = socket.send_to(ANSWER, from).await;
            }
        }
    });
    Ok(())
}
