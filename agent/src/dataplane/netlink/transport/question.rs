//! What is asked of the kernel and changes nothing.

use std::io;

use nix::libc;
use policy_compiler::ruleset::TABLE;

use super::super::NetlinkError;
use super::super::numbers::{GET_GENERATION, GET_TABLE, IN_TABLE, NEW_GENERATION, NEW_TABLE};
use super::Transport;
use crate::netlink::{Attributes, Dumped, Header, Message, NFTABLES, Writer, kind};

const ASKING: &str = "asking netfilter";

impl Transport {
    /// Whether the table is there.
    pub(in super::super) fn has_table(&mut self) -> Result<bool, NetlinkError> {
        Ok(self.table(|_| ())?.is_some())
    }

    /// What `read` makes of the table's attributes, if it is there.
    pub(in super::super) fn table<T>(
        &mut self,
        mut read: impl FnMut(Attributes<'_>) -> T,
    ) -> Result<Option<T>, NetlinkError> {
        let name = |w: &mut Writer| w.text(IN_TABLE, TABLE);
        let mut found = None;
        self.ask(GET_TABLE, name, |message| {
            if message.kind == kind(NFTABLES, NEW_TABLE) {
                found = Some(Ok(Some(read(message.attributes()))));
            } else if let Some(answer) = message.answer() {
                found = Some(match answer.errno {
                    libc::ENOENT => Ok(None),
                    errno => Err(io::Error::from_raw_os_error(errno)),
                });
            }
        })?;
        match found {
            Some(found) => found.map_err(|source| NetlinkError::socket(ASKING, source)),
            None => Err(NetlinkError::NoAnswer { is_unchanged: true }),
        }
    }

    /// The number of the last commit to nftables in this namespace, by whomever. `None` if it is not told.
    pub(in super::super) fn generation(&mut self) -> Result<Option<u32>, NetlinkError> {
        let mut generation = None;
        self.ask(
            GET_GENERATION,
            |_| {},
            |message| {
                if message.kind == kind(NFTABLES, NEW_GENERATION) {
                    let found = message.attributes().find(|a| a.kind == 1);
                    generation =
                        found.and_then(|a| Some(u32::from_be_bytes(*a.value.first_chunk()?)));
                }
            },
        )?;
        Ok(generation)
    }

    /// Reads all objects that a dump tells of, which come as messages of kind `told`. Where something goes away meanwhile it ends early.
    pub(in super::super) fn dump(
        &mut self,
        message: u8,
        told: u8,
        attributes: impl FnOnce(&mut Writer),
        take: impl FnMut(Attributes<'_>),
    ) -> Result<Dumped, NetlinkError> {
        let (header, told) = (Header::nftables(message), kind(NFTABLES, told));
        match self.channel.dump(header, told, attributes, take) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Dumped::Cut),
            dumped => dumped.map_err(|source| NetlinkError::socket("reading the table", source)),
        }
    }

    fn ask(
        &mut self,
        message: u8,
        attributes: impl FnOnce(&mut Writer),
        take: impl FnMut(Message<'_>),
    ) -> Result<(), NetlinkError> {
        let asked = self
            .channel
            .ask(Header::nftables(message), attributes, take);
        asked.map_err(|source| NetlinkError::socket(ASKING, source))?;
        Ok(())
    }
}
