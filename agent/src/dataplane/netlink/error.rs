//! Why the kernel did not take a batch.

use std::io;

use nix::libc;

/// Why a transaction was not committed. Whatever was in the kernel before is still there.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// There is no socket to netfilter.
    #[error(
        "{doing}: {source}; is nf_tables in this kernel, and may the agent open netlink sockets?"
    )]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel does not let this process change nftables.
    #[error(
        "not allowed to change nftables: run as root, or with the capability NET_ADMIN in the network namespace's \
         own user namespace"
    )]
    NotPermitted,
    /// The kernel refused a command, and with it the whole batch.
    #[error(
        "the kernel refused `{command}`: {reason}{}", more_refused(*.others)
    )]
    Refused {
        /// The first command that it refused.
        command: String,
        /// Why.
        reason: String,
        /// The error's number.
        errno: i32,
        /// How many more messages it refused.
        others: usize,
    },
    /// The kernel refused the batch as a whole.
    #[error("the kernel refused all {commands} commands together: {source}")]
    BatchRefused {
        /// How many messages there were.
        commands: usize,
        /// What the kernel answered.
        source: io::Error,
    },
    /// There is no memory for so large a batch.
    #[error(
        "the kernel has no memory for a change of {bytes} bytes; raise the memory limit of the agent's container, \
         which kernel memory counts toward"
    )]
    OutOfMemory {
        /// The batch's size.
        bytes: usize,
    },
    /// The batch does not fit through the socket. In parts it would leave packets unjudged in between.
    #[error(
        "a change of {bytes} bytes does not fit through the netlink socket, which takes {limit}; give the agent the \
         capability NET_ADMIN in the first user namespace, or raise net.core.wmem_max"
    )]
    TooLarge {
        /// The batch's size.
        bytes: usize,
        /// What the socket takes.
        limit: usize,
    },
    /// A rule is longer than nftables can carry.
    #[error(
        "a rule has more conditions than the 64 KiB that nftables can carry; find it with `netpol compile`"
    )]
    TooLong,
    /// The table did not hold still.
    #[error(
        "table inet netpol was changed each of {attempts} times that it was read; is another program changing it all the \
         time? See `nft monitor`"
    )]
    Restless {
        /// How often it was read.
        attempts: u32,
    },
    /// What was read of the table does not hold any more.
    #[error(
        "another program changed table inet netpol while it was compared; it must be read anew"
    )]
    Overtaken,
    /// The kernel did not say what became of the batch.
    #[error(
        "the kernel's answer to a change was lost{}",
        if *.is_unchanged { "; nothing was committed" } else { "; what it did is not known" }
    )]
    NoAnswer {
        /// Nothing has been committed to nftables meanwhile, by anybody.
        is_unchanged: bool,
    },
}

fn more_refused(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " (and one command more)".to_owned(),
        _ => format!(" (and {count} commands more)"),
    }
}

impl NetlinkError {
    /// What the kernel means by refusing to send, receive or open.
    pub(crate) fn socket(doing: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted,
            _ => Self::Socket { doing, source },
        }
    }

    /// Whether the kernel was asked and does not take what it was given, for whatever reason but the want of rights.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::BatchRefused { .. })
    }

    /// Whether another program has changed the table since it was read, so that it must be read again.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::Overtaken)
    }

    /// Whether something does not exist that was to be deleted or referred to.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { errno, .. } if *errno == libc::ENOENT)
    }
}

/// What an error's number means when a command is refused, with what the kernel says itself.
pub(super) fn reason(errno: i32, said: Option<&str>) -> String {
    let meaning = match errno {
        libc::ENOENT => "it, or something it refers to, does not exist",
        libc::EEXIST => "there is another one already",
        libc::EBUSY => "it is still referred to",
        libc::EMLINK => "the jumps lead in a circle, or too deep",
        libc::ENFILE => "the set is full",
        libc::EOPNOTSUPP => "this kernel lacks what it needs; is a module of nftables missing?",
        _ => "",
    };
    let error = io::Error::from_raw_os_error(errno);
    let mut text = error.to_string();
    for more in [meaning, said.unwrap_or_default()] {
        if !more.is_empty() {
            text = format!("{text}; {more}");
        }
    }
    text
}
