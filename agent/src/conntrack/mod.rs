//! The kernel's list of connections: read, one entry after the other; entries marked as cut, and deleted.
//!
//! What is forbidden after a change may have been allowed when it began, and the kernel lets the packets of connections
//! that it knows pass. So whoever takes something back has to look at the connections there are.

mod addresses;
mod change;
mod connection;
mod decode;
mod encode;
mod error;
pub mod judge;
mod lookup;
mod numbers;
mod table;
mod which;

pub use addresses::own_addresses;
pub use change::{Done, Order};
pub use connection::{CUT_LABEL, Connection, Icmp, Tuple, ZoneOf};
pub use error::ConntrackError;
pub use table::Conntrack;
pub use which::Which;
