//! Table `bridge netpol`: which address may come from which port of a bridge.
//!
//! It is a table of its own, since the family inet does not see frames before `br_netfilter` has made packets of them, and
//! never sees ARP. It is there only where pods hang on bridges, and holds no more than some sets of addresses; so it is
//! written and read by few messages, each about what it names.

mod commands;
mod content;
mod layout;
mod read;

use nix::libc;
use policy_compiler::ruleset::DropLog;

use super::NetlinkError;
use super::error::reason;
use super::numbers::{
    COUNTER, GET_GENERATION, GET_OBJECTS, IN_TABLE, NAME, NEW_GENERATION, NEW_OBJECT, OBJECT_DATA,
    OBJECT_TYPE,
};
use crate::netlink::{Attributes, Channel, Header, NFTABLES, Writer, kind};
use commands::Commands;
pub(crate) use content::Content;
pub(crate) use layout::Drops;

/// `NFPROTO_BRIDGE`
const BRIDGE: u8 = 7;

/// Bytes of a datagram at most: so much the kernel dumps at once if there is room for it.
const DATAGRAM: usize = 32 << 10;

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
        let channel = Channel::open(DATAGRAM)
            .map_err(|source| NetlinkError::socket("opening a netlink socket", source))?;
        Ok(Self { channel, log })
    }

    /// Makes the table hold `new`: where it is known to hold `old`, by what differs; otherwise it is made anew in the
    /// same commit that deletes what was there.
    pub(crate) fn write(
        &mut self,
        old: Option<&Content>,
        new: &Content,
    ) -> Result<(), NetlinkError> {
        let mut commands = Commands::new();
        match old {
            Some(old) => new.replace(old, &mut commands),
            None => {
                commands.delete_table();
                layout::make(self.log.as_ref(), &mut commands);
                new.replace(&Content::default(), &mut commands);
            }
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

    /// The number of the last commit to nftables, by whomever; `None` if it is not told.
    pub(crate) fn generation(&mut self) -> Result<Option<u32>, NetlinkError> {
        let mut generation = None;
        self.ask(
            Header::nftables(GET_GENERATION),
            |_| {},
            NEW_GENERATION,
            |attributes| {
                let found = attributes.clone().find(|attribute| attribute.kind == 1);
                generation = found.map(|attribute| attribute.number());
            },
        )?;
        Ok(generation)
    }

    /// Packets dropped since the table was made.
    pub(crate) fn dropped(&mut self) -> Result<Drops, NetlinkError> {
        const PACKETS: u16 = 2;
        let mut counts = layout::COUNTERS.map(|_| 0);
        for (name, count) in layout::COUNTERS.iter().zip(&mut counts) {
            let which = |w: &mut Writer| {
                w.text(IN_TABLE, super::ports::layout::NAME);
                w.text(NAME, name);
                w.be32(OBJECT_TYPE, COUNTER);
            };
            self.ask(header(GET_OBJECTS), which, NEW_OBJECT, |mut attributes| {
                let data = attributes.find(|attribute| attribute.kind == OBJECT_DATA);
                let packets = data.and_then(|data| {
                    Attributes(data.value).find(|attribute| attribute.kind == PACKETS)
                });
                let bytes = packets.and_then(|packets| packets.value.first_chunk().copied());
                *count = bytes.map_or(0, u64::from_be_bytes);
            })?;
        }
        Ok(Drops::of(counts))
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
        mut take: impl FnMut(Attributes<'_>),
    ) -> Result<bool, NetlinkError> {
        let mut found = None;
        let asked = self.channel.ask(header, which, |message| {
            if message.kind == kind(NFTABLES, told) {
                found = Some(Ok(()));
                take(message.attributes());
            } else if let Some(answer) = message.answer()
                && found.is_none()
            {
                found = Some(Err(answer.errno));
            }
        });
        asked.map_err(|source| NetlinkError::socket(READING, source))?;
        match found {
            Some(Ok(())) => Ok(true),
            // So it answers, too, where this kernel has no such family.
            Some(Err(libc::ENOENT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) => Ok(false),
            Some(Err(errno)) => {
                let source = std::io::Error::from_raw_os_error(errno);
                Err(NetlinkError::socket(READING, source))
            }
            None => Err(NetlinkError::NoAnswer { is_unchanged: true }),
        }
    }
}
