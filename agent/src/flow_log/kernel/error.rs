//! Why packets or counters cannot be read from the kernel.

use std::io;

use nix::libc;

/// Why there is nothing to read from the kernel.
#[derive(Debug, thiserror::Error)]
pub enum NflogError {
    /// Another program reads the group.
    #[error(
        "NFLOG group {group} is taken by another program, such as an agent that is being replaced, or ulogd; \
         stop it, or choose another group"
    )]
    Busy {
        /// Its number.
        group: u16,
    },
    /// This process may not speak to netfilter.
    #[error(
        "not permitted to read NFLOG group {group}; the agent needs CAP_NET_ADMIN in the node's network namespace"
    )]
    NotPermitted {
        /// Its number.
        group: u16,
    },
    /// The kernel has no NFLOG.
    #[error(
        "this kernel has no NFLOG ({source}); load its module nfnetlink_log on the node, or turn the flow log off"
    )]
    Unsupported {
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel's answer was lost, as happens when packets overflow the socket.
    #[error("the kernel did not answer while {doing}")]
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

impl NflogError {
    /// Whether trying again later may help without anybody changing the node.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::NoAnswer { .. })
    }

    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// What the kernel means by refusing a subsystem of netfilter.
    pub(super) fn refused(doing: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => {
                Self::Unsupported { source }
            }
            _ => Self::Io { doing, source },
        }
    }
}
