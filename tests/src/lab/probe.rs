//! Probes: one request each, sent from inside a place, looked for at its receiver.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::packet::IpProtocol;
use super::spec::Place;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Connect, write, read back.
    Tcp(u16),
    /// A datagram and its answer.
    Udp(u16),
    /// INIT and INIT-ACK.
    Sctp(u16),
    /// ICMP or ICMPv6 echo.
    Echo,
}

impl Transport {
    /// The IP protocol.
    pub fn protocol(self) -> IpProtocol {
        match self {
            Self::Tcp(_) => IpProtocol::Tcp,
            Self::Udp(_) => IpProtocol::Udp,
            Self::Sctp(_) => IpProtocol::Sctp,
            Self::Echo => IpProtocol::Icmp,
        }
    }

    /// The destination port as dialled, 0 for an echo.
    pub fn port(self) -> u16 {
        match self {
            Self::Tcp(port) | Self::Udp(port) | Self::Sctp(port) => port,
            Self::Echo => 0,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Sctp(port) => write!(f, "sctp/{port}"),
            Self::Echo => f.write_str("icmp"),
        }
    }
}

/// How long to insist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// An answer: fifteen seconds, with retransmissions.
    Answer,
    /// Nothing: several transmissions in 0.7 seconds, none of which may arrive.
    Silence,
}

impl Expect {
    pub(super) fn window(self) -> Duration {
        match self {
            Self::Answer => Duration::from_secs(15),
            Self::Silence => Duration::from_millis(700),
        }
    }

    /// TCP repeats its SYN after a second; these are connections of their own, for when that is too late.
    pub(super) fn between_connects(self) -> Duration {
        match self {
            Self::Answer => Duration::from_millis(1600),
            Self::Silence => Duration::from_millis(230),
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Who sends it.
    pub from: Place,
    /// The source address; `None` leaves the choice to the kernel, as programs do.
    pub source: Option<IpAddr>,
    /// The address that is dialled.
    pub to: IpAddr,
    /// What is asked for.
    pub transport: Transport,
    /// What should become of it.
    pub expect: Expect,
    /// How long to insist, if not as long as `expect` says.
    pub patience: Option<Duration>,
    /// Bytes of payload in a UDP or echo request; more than the path takes in one packet makes fragments.
    pub size: usize,
}

impl Probe {
    /// A request with the kernel's choice of source address, which is expected to be answered.
    pub fn new(from: &Place, to: IpAddr, transport: Transport) -> Self {
        Self {
            from: from.clone(),
            source: None,
            to,
            transport,
            expect: Expect::Answer,
            patience: None,
            size: 32,
        }
    }

    /// Chooses the source address.
    #[must_use]
    pub fn source(self, source: IpAddr) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }

    /// Sets what should become of it.
    #[must_use]
    pub fn expect(self, expect: Expect) -> Self {
        Self { expect, ..self }
    }

    /// Insists for another time than `expect` says.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self {
            patience: Some(patience),
            ..self
        }
    }

    /// Sets the payload's size.
    #[must_use]
    pub fn size(self, size: usize) -> Self {
        Self { size, ..self }
    }
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The sender got its answer.
    pub answered: bool,
    /// The receiver saw the request, with this source address. Nothing if nobody has the destination address.
    pub arrived_from: Option<IpAddr>,
    /// What the sender's system calls said instead of an answer.
    pub trouble: Option<String>,
    /// Somebody refused the request aloud: a reset, or an ICMP error.
    pub refused: bool,
}

impl Outcome {
    /// Whether this is what was expected: an answer by the right receiver, or no trace of the request anywhere, and
    /// nobody who said so (semantics rule I7, decision L11).
    pub fn is(&self, expect: Expect) -> bool {
        match expect {
            Expect::Answer => self.answered && self.arrived_from.is_some(),
            Expect::Silence => !self.answered && self.arrived_from.is_none() && !self.refused,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.answered, self.arrived_from) {
            (true, Some(source)) => write!(f, "answered (came from {source})")?,
            (true, None) => f.write_str("answered, but not by the intended receiver")?,
            (false, Some(source)) => write!(f, "arrived (from {source}), answer lost")?,
            (false, None) => f.write_str("did not arrive")?,
        }
        match &self.trouble {
            Some(trouble) => write!(f, " [{trouble}]"),
            None => Ok(()),
        }
    }
}
