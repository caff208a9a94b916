//! The sending end of a probe.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::packet::{ANSWER, IpProtocol, REQUEST, SctpChunk, SctpInit, Token, echo_request};
use super::probe::{Expect, Probe, Transport};
use super::receive::raw_socket;

/// Gives out numbers for [`Token`]s: above the ports that services listen on, below those that the kernel gives to
/// programs of the lab.
#[derive(Debug)]
pub(super) struct Tokens(AtomicU16);

impl Default for Tokens {
    fn default() -> Self {
        Self(AtomicU16::new(Self::FIRST))
    }
}

impl Tokens {
    /// Above the range of node ports.
    const FIRST: u16 = 33_000;
    const LAST: u16 = 60_999;

    pub(super) fn next(&self) -> u16 {
        let next = |n| Some(if n >= Self::LAST { Self::FIRST } else { n + 1 });
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .unwrap_or(Self::FIRST)
    }
}

/// What the sender knows at the end.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) answered: bool,
    pub(super) tokens: Vec<Token>,
    pub(super) trouble: Option<String>,
    pub(super) refused: bool,
}

/// One running probe. Its sockets are those of the thread that polls it.
pub(super) struct Sender {
    pub(super) probe: Probe,
    pub(super) numbers: Arc<Tokens>,
}

impl Sender {
    pub(super) async fn run(self) -> Sent {
        let deadline = Instant::now() + self.probe.patience.unwrap_or(self.probe.expect.window());
        let tokens = Mutex::new(Vec::new());
        let attempt = async {
            match self.probe.transport {
                Transport::Tcp(port) => {
                    self.tcp(SocketAddr::new(self.probe.to, port), &tokens)
                        .await
                }
                Transport::Udp(port) => {
                    self.udp(SocketAddr::new(self.probe.to, port), &tokens)
                        .await
                }
                Transport::Sctp(port) => self.sctp(port, &tokens).await,
                Transport::Echo => self.echo(&tokens).await,
            }
        };
        let (mut trouble, mut refused) = (None, false);
        let answered = match timeout_at(deadline, attempt).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                trouble = Some(error.to_string());
                refused = matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
                );
                // A refusal comes at once; the deny side still waits for what may arrive later.
                if self.probe.expect == Expect::Silence {
                    sleep_until(deadline).await;
                }
                false
            }
            Err(_) => false,
        };
        Sent {
            answered,
            tokens: tokens.into_inner().unwrap_or_else(PoisonError::into_inner),
            trouble,
            refused,
        }
    }

    /// Binds to a fresh number; retries where a listener of the place has it.
    async fn bind<T>(
        &self,
        tokens: &Mutex<Vec<Token>>,
        open: impl AsyncFn(SocketAddr) -> io::Result<T>,
    ) -> io::Result<(T, u16)> {
        let source = self.probe.source.unwrap_or(match self.probe.to {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        });
        let protocol = self.probe.transport.protocol();
        for _ in 0..64 {
            let number = self.numbers.next();
            match open(SocketAddr::new(source, number)).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
                Ok(socket) => {
                    tokens
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(Token { protocol, number });
                    return Ok((socket, number));
                }
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "no free source port",
        ))
    }

    async fn tcp(&self, to: SocketAddr, tokens: &Mutex<Vec<Token>>) -> io::Result<()> {
        let connect = async || {
            let open = async |from: SocketAddr| {
                let socket = if to.is_ipv4() {
                    TcpSocket::new_v4()
                } else {
                    TcpSocket::new_v6()
                }?;
                socket.bind(from)?;
                Ok(socket)
            };
            let (socket, _) = self.bind(tokens, open).await?;
            let mut stream = socket.connect(to).await?;
            stream.write_all(REQUEST).await?;
            let mut echo = [0; REQUEST.len()];
            stream.read_exact(&mut echo).await?;
            io::Result::Ok(())
        };
        let mut running = FuturesUnordered::new();
        loop {
            running.push(connect());
            let next = Instant::now() + self.probe.expect.between_connects();
            match timeout_at(next, running.next()).await {
                Ok(Some(Err(error))) if error.kind() != io::ErrorKind::ConnectionRefused => {
                    sleep_until(next).await;
                }
                Ok(Some(result)) => return result,
                Ok(None) | Err(_) => {}
            }
        }
    }

    async fn udp(&self, to: SocketAddr, tokens: &Mutex<Vec<Token>>) -> io::Result<()> {
        let (socket, _) = self
            .bind(tokens, async |from| UdpSocket::bind(from).await)
            .await?;
        socket.connect(to).await?;
        let mut request = REQUEST.to_vec();
        request.resize(self.probe.size.max(REQUEST.len()), b'.');
        self.repeat(&socket, to, &request, |answer, _| answer == ANSWER)
            .await
    }

    async fn sctp(&self, port: u16, tokens: &Mutex<Vec<Token>>) -> io::Result<()> {
        let open =
            async |from: SocketAddr| UdpSocket::from_std(raw_socket(IpProtocol::Sctp, from.ip())?);
        let (socket, source) = self.bind(tokens, open).await?;
        let request = SctpInit {
            source,
            destination: port,
            verification_tag: 0,
            chunk: SctpChunk::Init,
            initiate_tag: 0x6e70_0000 | u32::from(source),
        };
        let ipv4 = self.probe.to.is_ipv4();
        let is_answer = |packet: &[u8], from: SocketAddr| {
            let answer = super::packet::transport(packet, ipv4).and_then(SctpInit::decode);
            from.ip() == self.probe.to
                && answer.is_some_and(|a| {
                    a.chunk == SctpChunk::InitAck
                        && a.destination == source
                        && a.verification_tag == request.initiate_tag
                })
        };
        self.repeat(
            &socket,
            SocketAddr::new(self.probe.to, 0),
            &request.encode(),
            is_answer,
        )
        .await
    }

    async fn echo(&self, tokens: &Mutex<Vec<Token>>) -> io::Result<()> {
        let ipv4 = self.probe.to.is_ipv4();
        let (domain, protocol) = if ipv4 {
            (Domain::IPV4, Protocol::ICMPV4)
        } else {
            (Domain::IPV6, Protocol::ICMPV6)
        };
        // A ping socket: the port it is bound to is the identifier, and only its own replies come in.
        let open = async |from: SocketAddr| {
            let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
            socket.bind(&from.into())?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(std::net::UdpSocket::from(OwnedFd::from(socket)))
        };
        let (socket, _) = self.bind(tokens, open).await?;
        let request = echo_request(ipv4, self.probe.size);
        let reply = if ipv4 { 0 } else { 129 };
        let to = SocketAddr::new(self.probe.to, 0);
        self.repeat(&socket, to, &request, |packet, from| {
            from.ip() == to.ip() && packet.first() == Some(&reply)
        })
        .await
    }

    /// Sends the request again and again until its answer comes. The caller bounds the time.
    async fn repeat(
        &self,
        socket: &UdpSocket,
        to: SocketAddr,
        request: &[u8],
        is_answer: impl Fn(&[u8], SocketAddr) -> bool,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        loop {
            let sent = if self.probe.transport.protocol() == IpProtocol::Udp {
                socket.send(request).await
            } else {
                socket.send_to(request, to).await
            };
            let again = Instant::now() + Duration::from_millis(150);
            // A neighbour that does not answer is reported by the next send; it may answer later.
            if let Err(error) = sent
                && error.kind() != io::ErrorKind::HostUnreachable
            {
                return Err(error);
            }
            while let Ok(received) = timeout_at(again, socket.recv_from(&mut buffer)).await {
                match received {
                    Ok((length, from)) if is_answer(&buffer[..length], from) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::HostUnreachable => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}
