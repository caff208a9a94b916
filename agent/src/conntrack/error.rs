//! Why connections cannot be read or changed.

use std::io;
use std::net::SocketAddr;

use nix::libc;

use super::Connection;

/// Why connections cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// This process may not speak to netfilter.
    #[error(
        "not permitted to read the node's connections: run as root, or with the capability NET_ADMIN, in the node's \
         network namespace"
    )]
    NotPermitted,
    /// The kernel cannot tell of connections.
    #[error(
        "this kernel cannot tell of connections ({source}); load its module nf_conntrack_netlink on the node"
    )]
    Unsupported {
        /// What the kernel answered.
        source: io::Error,
    },
    /// The table was made anew each time it was read.
    #[error(
        "the list of connections was resized while it was read, {attempts} times; leave \
         net.netfilter.nf_conntrack_buckets alone, and try again"
    )]
    Restless {
        /// How often it was read.
        attempts: u32,
    },
    /// The kernel leaves a connection as it is.
    #[error(
        "the kernel refuses to change the connection from {source_end} to {destination}: {source}; if it must end now, \
         restart the pod at one of its ends"
    )]
    Unchanged {
        /// Who opened it.
        source_end: SocketAddr,
        /// To whom, after destination NAT.
        destination: SocketAddr,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel's answer was lost.
    #[error("the kernel did not answer while {doing}; try again")]
    NoAnswer {
        /// What was asked.
        doing: &'static str,
    },
    /// Anything else.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl ConntrackError {
    /// What it means that the kernel would not change one.
    pub(super) fn unchanged(connection: &Connection, errno: i32) -> Self {
        let opened = connection.opened();
        let source = io::Error::from_raw_os_error(errno);
        match errno {
            libc::EPERM | libc::EACCES => Self::NotPermitted,
            _ => Self::Unchanged {
                source_end: (opened.source, opened.source_port).into(),
                destination: (opened.destination, opened.destination_port).into(),
                source,
            },
        }
    }

    /// What the kernel means by a refusal.
    pub(super) fn refused(doing: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted,
            // EINVAL: no such subsystem of netfilter.
            Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => {
                Self::Unsupported { source }
            }
            _ => Self::Io { doing, source },
        }
    }
}
