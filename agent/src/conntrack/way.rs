//! How the connections of some addresses are read.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::libc;

use super::encode::{self, Role};
use super::numbers::{COUNT, GET_STATISTICS, NEW, V4, V6};
use super::table::{READING, header, places};
use super::{Connection, Conntrack, ConntrackError, cost};
use crate::netlink::{Header, Message, Writer};

/// How the connections of some addresses are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// The one that is likely to take less time.
    #[default]
    Cheaper,
    /// One by one, by the kernel's filter, where it has one that can be relied on.
    Filtered,
    /// All at once, and looked through here.
    Whole,
}

/// How far the kernel's filters can be relied on. None can be that is only passed over, as old kernels do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filters {
    /// Nothing while nobody has asked.
    pub(super) works: Option<bool>,
    /// Kernels up to 6.18 and maybe later hand out just those connections that do not have the address, if it is of IPv6.
    pub(super) v6: SixFilter,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SixFilter {
    /// There was no connection of IPv6 to tell by.
    #[default]
    Unknown,
    Works,
    Inverted,
}

impl Conntrack {
    /// Whether it is better to have the kernel look for these addresses.
    pub(super) fn can_filter(
        &mut self,
        family: u8,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<bool, ConntrackError> {
        let is_better = match self.way {
            Way::Cheaper => cost::is_filter_cheaper(addresses.len(), self.count(), places()),
            Way::Filtered => true,
            Way::Whole => false,
        };
        if !is_better || !self.heeds_filters()? {
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

    /// Whether the kernel reads filters, those for the destination too. One that does refuses one that lacks its address.
    /// Others begin to tell everything: those before 5.8 do not know filters, and some since look for flags of the destination
    /// among those of the source.
    fn heeds_filters(&mut self) -> Result<bool, ConntrackError> {
        if let Some(works) = self.filters.works {
            return Ok(works);
        }
        let request = |w: &mut Writer| encode::filter_without_address(w, Role::Destination);
        let works = match self.channel.dump(header(V4), NEW, request, |_| {}) {
            Ok(_) => false,
            Err(error) => match error.raw_os_error() {
                Some(libc::EINVAL) => true,
                Some(libc::EOPNOTSUPP) => false,
                _ => return Err(ConntrackError::refused(READING, error)),
            },
        };
        self.filters.works = Some(works);
        Ok(works)
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
}
