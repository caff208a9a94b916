//! Table `bridge netpol`: which address may come from which port of a bridge.
//!
//! It is a table of its own, since the family inet does not see frames before `br_netfilter` has made packets of them, and
//! never sees ARP. It is there only where pods hang on bridges, and holds no more than some sets of addresses; so it is
//! written and read by few messages, each about what it names.

mod commands;
mod content;
mod layout;
mod read;

use std::io;

use nix::libc;
use policy_compiler::ruleset::DropLog;

use super::NetlinkError;
use super::error::reason;
use super::numbers::{COUNTER, GET_OBJECTS, IN_TABLE, NAME, NEW_OBJECT, OBJECT_DATA, OBJECT_TYPE};
use crate::netlink::{Attributes, Channel, DUMP, Header, NFTABLES, Writer, kind};
use commands::Commands;
pub(crate) use content::Content;
pub(crate) use layout::Drops;
pub(crate) use read::FoundTable;

/// `NFPROTO_BRIDGE`
pub(super) const BRIDGE: u8 = 7;

const WRITING: &str = "writing table bridge netpol";
const READING: &str = "reading table bridge netpol";

/// The table, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct PortTable {
    channel: Channel,
    log: Option<DropLog>,
}

/// What leads a message about tables of family bridge, or what is in them.
fn header(message: u8) -> Header {
    Header {
        family: BRIDGE,
        ..Header::nftables(message)
    }
}

impl PortTable {
    /// Opens a socket; changes nothing. What is dropped is logged as `log` says.
    pub(crate) fn open(log: Option<DropLog>) -> Result<Self, NetlinkError> {
        let channel = Channel::open(DUMP)
            .map_err(|source| NetlinkError::socket("opening a netlink socket", source))?;
        Ok(Self { channel, log })
    }

    /// The number that the kernel knows the socket by. Notifications of its commits bear it.
    pub(crate) fn port(&self) -> u32 {
        self.channel.port()
    }

    /// Makes the table hold `new`: where it is known to hold `old`, by what differs; otherwise it is made anew in the
    /// same commit that deletes what was there.
    pub(crate) fn write(
        &mut self,
        old: Option<&Content>,
        new: &Content,
    ) -> Result<(), NetlinkError> {
        let mut commands = Commands::new();
        if let Some(old) = old {
            new.replace(old, &mut commands);
        } else {
            commands.delete_table();
            layout::make(self.log.as_ref(), &mut commands);
            new.replace(&Content::default(), &mut commands);
        }
        self.commit(commands)
    }

    /// Removes the table, and says whether there was one.
    pub(crate) fn remove(&mut self) -> Result<bool, NetlinkError> {
        if self.find()?.is_none() {
            return Ok(false);
        }
        let mut commands = Commands::new();
        commands.delete_table();
        self.commit(commands)?;
        Ok(true)
    }

    /// Packets dropped since the table was made.
    pub(crate) fn dropped(&mut self) -> io::Result<Drops> {
        let mut count = |counter| {
            let packets = packets(&mut self.channel, counter);
            packets.map(Option::unwrap_or_default)
        };
        let [source, neighbour, tagged] = layout::COUNTERS;
        Ok(Drops {
            source: count(source)?,
            neighbour: count(neighbour)?,
            tagged: count(tagged)?,
        })
    }

    /// Sends a batch and reads what became of it.
    fn commit(&mut self, commands: Commands) -> Result<(), NetlinkError> {
        let (bytes, last) = commands.finish().ok_or(NetlinkError::TooLong)?;
        let (mut is_told, mut refused, mut others) = (false, None, 0);
        let take = |message: crate::netlink::Message<'_>| {
            let Some(answer) = message.answer() else {
                return;
            };
            is_told |= message.number == last;
            match (answer.errno, &refused) {
                (0, _) => {}
                (_, None) => refused = Some(answer),
                (_, Some(_)) => others += 1,
            }
        };
        let sent = self.channel.exchange(&bytes, take);
        sent.map_err(|source| NetlinkError::socket(WRITING, source))?;
        match refused {
            Some(answer) if matches!(answer.errno, libc::EPERM | libc::EACCES) => {
                Err(NetlinkError::NotPermitted)
            }
            Some(answer) => Err(NetlinkError::Refused {
                command: "table bridge netpol".to_owned(),
                reason: reason(answer.errno, answer.text.as_deref()),
                errno: answer.errno,
                others,
            }),
            None if is_told => Ok(()),
            None => Err(NetlinkError::NoAnswer {
                is_unchanged: false,
            }),
        }
    }

    /// Asks for one object, and says whether it is there.
    fn ask(
        &mut self,
        header: Header,
        which: impl FnOnce(&mut Writer),
        told: u8,
        take: impl FnMut(Attributes<'_>),
    ) -> Result<bool, NetlinkError> {
        ask(&mut self.channel, header, which, told, take)
            .map_err(|source| NetlinkError::socket(READING, source))
    }
}

/// Packets with a forged source that the table has dropped, and logged unless they were too many; `None` if there is no
/// table.
pub(crate) fn forged(channel: &mut Channel) -> io::Result<Option<u64>> {
    let [source, ..] = layout::COUNTERS;
    packets(channel, source)
}

/// Packets that one of its counters has counted; `None` if it is not there.
fn packets(channel: &mut Channel, counter: &str) -> io::Result<Option<u64>> {
    const PACKETS: u16 = 2;
    let which = |w: &mut Writer| {
        w.text(IN_TABLE, layout::NAME);
        w.text(NAME, counter);
        w.be32(OBJECT_TYPE, COUNTER);
    };
    let mut count = 0;
    let is_there = ask(
        channel,
        header(GET_OBJECTS),
        which,
        NEW_OBJECT,
        |mut found| {
            let data = found.find(|attribute| attribute.kind == OBJECT_DATA);
            let packets = data.and_then(|data| Attributes(data.value).find(|a| a.kind == PACKETS));
            let packets = packets.and_then(|packets| packets.value.first_chunk().copied());
            count = packets.map_or(0, u64::from_be_bytes);
        },
    )?;
    Ok(is_there.then_some(count))
}

/// Asks for one object, and says whether it is there.
fn ask(
    channel: &mut Channel,
    header: Header,
    which: impl FnOnce(&mut Writer),
    told: u8,
    mut take: impl FnMut(Attributes<'_>),
) -> io::Result<bool> {
    let mut found = None;
    channel.ask(header, which, |message| {
        if message.kind == kind(NFTABLES, told) {
            found = Some(0);
            take(message.attributes());
        } else if let Some(answer) = message.answer() {
            found = found.or(Some(answer.errno));
        }
    })?;
    match found {
        Some(0) => Ok(true),
        // So it answers, too, where this kernel has no such family.
        Some(libc::ENOENT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => Ok(false),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}
