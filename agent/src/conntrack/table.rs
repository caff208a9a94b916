//! The kernel's list, read.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use super::encode::{self, Role};
use super::lookup::{look_up, resolve_master};
use super::numbers::{GET, NEW, V4, V6};
use super::way::{Filters, SixFilter, Way};
use super::{Connection, ConntrackError, Tuple, Which, decode};
use crate::netlink::{Channel, Dumped, Header};

/// What a datagram of a dump has at most, in kernels so far 32 KiB.
const DATAGRAM: usize = 64 << 10;

/// The list may be resized while it is read; then it is read again, so many times.
const ATTEMPTS: u32 = 5;

/// `IPPROTO_UDP`
const UDP: u8 = 17;

const OPENING: &str = "opening a netlink socket";
pub(super) const READING: &str = "reading the list of connections";

/// The connections of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Conntrack {
    pub(super) channel: Channel,
    /// For what is asked while the other tells.
    pub(super) lookup: Channel,
    pub(super) way: Way,
    pub(super) filters: Filters,
}

impl Conntrack {
    /// Sockets of its own. Fails without the right to speak to netfilter, and if the kernel cannot tell of connections.
    pub fn open() -> Result<Self, ConntrackError> {
        let open =
            || Channel::open(DATAGRAM).map_err(|source| ConntrackError::refused(OPENING, source));
        let mut conntrack = Self {
            channel: open()?,
            lookup: open()?,
            way: Way::default(),
            filters: Filters::default(),
        };
        let nobody = (IpAddr::from([0; 4]), 0);
        let none = Connection::new(Tuple::new(nobody, nobody, UDP));
        look_up(&mut conntrack.lookup, &none)?;
        Ok(conntrack)
    }

    /// The same, always read in this way.
    #[must_use]
    pub fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// Hands on the connections, one after the other. One may be handed on twice; one that comes or goes meanwhile may or may
    /// not be.
    pub fn each(
        &mut self,
        which: &Which,
        mut take: impl FnMut(Connection),
    ) -> Result<(), ConntrackError> {
        let take = &mut take;
        let Which::Of(addresses) = which else {
            return self.walk(0, None, which, take).map(drop);
        };
        let of = |is_wanted: fn(&IpAddr) -> bool| -> BTreeSet<IpAddr> {
            addresses.iter().copied().filter(is_wanted).collect()
        };
        for (family, of_family) in [(V4, of(IpAddr::is_ipv4)), (V6, of(IpAddr::is_ipv6))] {
            if of_family.is_empty() {
                continue;
            }
            let mut is_told = false;
            if self.can_filter(family, &of_family)? {
                is_told = self.walk_one_by_one(family, &of_family, which, take)?;
            }
            if !is_told {
                self.walk(family, None, which, take)?;
            }
        }
        Ok(())
    }

    /// Says whether that was all: not, if the kernel's filter turns out to be of no use.
    fn walk_one_by_one(
        &mut self,
        family: u8,
        addresses: &BTreeSet<IpAddr>,
        which: &Which,
        take: &mut impl FnMut(Connection),
    ) -> Result<bool, ConntrackError> {
        for role in [Role::Source, Role::Destination] {
            for &address in addresses {
                if !self.walk(family, Some((role, address)), which, take)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Reads the list, or what the kernel's filter leaves of it, until it was not resized meanwhile. Says whether the filter
    /// left what it should.
    fn walk(
        &mut self,
        family: u8,
        filter: Option<(Role, IpAddr)>,
        which: &Which,
        take: &mut impl FnMut(Connection),
    ) -> Result<bool, ConntrackError> {
        for _ in 0..ATTEMPTS {
            let before = places();
            let mut is_right = false;
            let mut is_wrong = false;
            let dumped = self.dump(family, filter, |connection| {
                if let Some((role, address)) = filter {
                    let end = match role {
                        Role::Source => connection.source(),
                        Role::Destination => connection.destination(),
                    };
                    is_right |= end == address;
                    is_wrong |= end != address;
                }
                if which.includes(&connection) {
                    take(connection);
                }
            })?;
            if family == V6 && is_wrong {
                self.filters.v6 = SixFilter::Inverted;
                return Ok(false);
            } else if family == V6 && is_right {
                self.filters.v6 = SixFilter::Works;
            }
            if dumped == Dumped::Whole && before == places() {
                return Ok(true);
            }
        }
        Err(ConntrackError::Restless { attempts: ATTEMPTS })
    }

    pub(super) fn dump(
        &mut self,
        family: u8,
        filter: Option<(Role, IpAddr)>,
        mut take: impl FnMut(Connection),
    ) -> Result<Dumped, ConntrackError> {
        let Self {
            channel, lookup, ..
        } = self;
        let mut failed = None;
        let dumped = channel.dump(
            header(family),
            NEW,
            |w| {
                if let Some((role, address)) = filter {
                    encode::filter(w, role, address);
                }
            },
            |attributes| {
                let Some(mut connection) = decode::connection(attributes) else {
                    return;
                };
                if connection.master.is_some()
                    && let Err(error) = resolve_master(lookup, &mut connection)
                {
                    failed = Some(error);
                }
                take(connection);
            },
        );
        match (dumped, failed) {
            (Err(error), _) => Err(ConntrackError::refused(READING, error)),
            (Ok(_), Some(error)) => Err(error),
            (Ok(dumped), None) => Ok(dumped),
        }
    }
}

pub(super) fn header(family: u8) -> Header {
    Header {
        kind: GET,
        family,
        ..Header::default()
    }
}

/// How many places the list has, which changes if it is resized. It is one list for all network namespaces.
pub(super) fn places() -> Option<u64> {
    let places = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_buckets").ok()?;
    places.trim().parse().ok()
}
