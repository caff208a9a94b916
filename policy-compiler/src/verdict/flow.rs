//! What is judged: one connection, as a packet filter between DNAT and SNAT sees its first packet.

use std::fmt;
use std::net::IpAddr;

use crate::model::{Name, Protocol};

/// A new connection, after destination NAT and before source NAT (semantics rules E8, H1 and L6).
///
/// Replies and related ICMP errors are not flows of their own: they follow the connection (semantics rule I3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Who opens the connection.
    pub source: Endpoint,
    /// Who accepts it: the backend, where a Service was addressed.
    pub destination: Endpoint,
    /// Over what.
    pub transport: Transport,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address: a pod's, or anybody else's.
    Address(IpAddr),
    /// A process on a node, hostNetwork pods among them. As a source: a packet generated on that node, which is not
    /// the same as a packet that bears its address (semantics rule G3).
    Node {
        /// The node.
        name: Name,
        /// The address of the node that the flow uses.
        address: IpAddr,
    },
}

impl Endpoint {
    /// The address on the wire.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Address(address) | Self::Node { address, .. } => *address,
        }
    }
}

/// Protocol and destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A protocol that policies can name, and the port the destination sees (semantics rule D3).
    Port(Protocol, u16),
    /// ICMP echo and everything else without a port that policies can name (semantics rules I1 and L4).
    Other,
}

impl fmt::Display for Transport {
    /// `TCP 80`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(protocol, port) => write!(f, "{protocol} {port}"),
            Self::Other => f.write_str("ICMP or other"),
        }
    }
}
