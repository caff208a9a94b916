//! The kernel's list, read.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use nix::libc;

use super::encode::{self, Role};
use super::lookup::{look_up, resolve_master};
use super::numbers::{COUNT, GET, GET_STATISTICS, NEW, V4, V6};
use super::way::{Filters, SixFilter, Way};
use super::{Connection, ConntrackError, Tuple, Which, cost, decode};
use crate::netlink::{Channel, Dumped, Header, Message, Writer};

/// What a datagram of a dump has at most, in kernels so far 32 KiB.
const DATAGRAM: usize = 64 << 10;

/// The list may be resized while it is read; then it is read again, so many times.
const ATTEMPTS: u32 = 5;

const OPENING: &str = "opening a netlink socket";
pub(super) const READING: &str = "reading the list of connections";

/// The connections of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Conntrack {
    pub(super) channel: Channel,
    /// For what is asked while the other tells.
    lookup: Channel,
    way: Way,
    filters: Filters,
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
        conntrack.filters.works = conntrack.heeds_filters()?;
        Ok(conntrack)
    }

    /// The same, always read in this way.
    #[must_use]
    pub fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// Whether the kernel reads filters, those for the destination too. One that does refuses one that lacks its address.
    /// Others begin to tell everything: those before 5.8 do not know filters, and some since look for flags of the destination
    /// among those of the source.
    fn heeds_filters(&mut self) -> Result<bool, ConntrackError> {
        let request = |w: &mut Writer| encode::filter_without_address(w, Role::Destination);
        match self.channel.dump(header(V4), NEW, request, |_| {}) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                // Nor does a kernel that knows nothing of connections, or an agent that may not ask.
                let any = Connection::new(Tuple::new(
                    (IpAddr::from([0; 4]), 0),
                    (IpAddr::from([0; 4]), 0),
                    0,
                ));
                look_up(&mut self.channel, &any).map(|_| true)
            }
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
            Err(error) => Err(ConntrackError::refused(READING, error)),
            Ok(_) => Ok(false),
        }
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

    /// Whether it is better to have the kernel look for these addresses.
    fn can_filter(
        &mut self,
        family: u8,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<bool, ConntrackError> {
        let is_better = match self.way {
            Way::Cheaper => cost::is_filter_cheaper(addresses.len(), self.count(), places()),
            Way::Filtered => true,
            Way::Whole => false,
        };
        if !self.filters.works || !is_better {
            return Ok(false);
        }
        if family == V6 && self.filters.v6 == SixFilter::Unknown {
            // Nobody has this address.
            let nobody = IpAddr::from([0; 16]);
            let mut is_inverted = false;
            let any = |_: Connection| is_inverted = true;
            self.dump(V6, Some((Role::Source, nobody)), any)?;
            if is_inverted {
                self.filters.v6 = SixFilter::Inverted;
            }
        }
        Ok(family == V4 || self.filters.v6 != SixFilter::Inverted)
    }

    /// How many connections there are; 0 if that is not told.
    fn count(&mut self) -> u64 {
        let request = Header {
            kind: GET_STATISTICS,
            ..Header::default()
        };
        let mut count = 0;
        let told = |message: Message<'_>| {
            let mut numbers = message.attributes().filter(|number| number.kind == COUNT);
            count = numbers.next().map_or(count, |number| number.number());
        };
        match self.lookup.ask(request, |_| {}, told) {
            Ok(_) => count.into(),
            Err(_) => 0,
        }
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

    fn dump(
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

fn header(family: u8) -> Header {
    Header {
        kind: GET,
        family,
        ..Header::default()
    }
}

/// How many places the list has, which changes if it is resized. It is one list for all network namespaces.
fn places() -> Option<u64> {
    let places = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_buckets").ok()?;
    places.trim().parse().ok()
}
