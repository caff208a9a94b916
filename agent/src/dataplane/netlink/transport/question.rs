//! What is asked of the kernel and changes nothing.

use std::io;

use nix::libc;
use policy_compiler::ruleset::TABLE;

use super::super::NetlinkError;
use super::super::answer::Message;
use super::super::attribute::{Attributes, Writer};
use super::super::batch::{dump_request, message_type, request};
use super::super::operation::{GET_GENERATION, GET_TABLE, IN_TABLE, NEW_GENERATION, NEW_TABLE};
use super::{ANSWERS, QUESTION, Transport};

const DUMPING: &str = "reading the table";

/// How a dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Dumped {
    /// All there is was told.
    Whole,
    /// Something was changed meanwhile, of this table or of others.
    Torn,
    /// Not all was told.
    Cut,
}

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
            if message.kind == message_type(NEW_TABLE) {
                found = Some(Ok(Some(read(message.attributes()))));
            } else if let Some(answer) = message.answer() {
                found = Some(match answer.errno {
                    libc::ENOENT => Ok(None),
                    errno => Err(io::Error::from_raw_os_error(errno)),
                });
            }
        })?;
        match found {
            Some(found) => found.map_err(|source| NetlinkError::socket(ANSWERS, source)),
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
                if message.kind == message_type(NEW_GENERATION) {
                    let found = message.attributes().find(|a| a.kind == 1);
                    generation =
                        found.and_then(|a| Some(u32::from_be_bytes(*a.value.first_chunk()?)));
                }
            },
        )?;
        Ok(generation)
    }

    /// Reads all objects that a dump tells of, which come as messages of kind `told`.
    pub(in super::super) fn dump(
        &mut self,
        message: u8,
        told: u8,
        attributes: impl FnOnce(&mut Writer),
        mut take: impl FnMut(Attributes<'_>),
    ) -> Result<Dumped, NetlinkError> {
        self.send(&dump_request(message, QUESTION, attributes))?;
        let (mut is_done, mut is_torn, mut errno) = (false, false, 0);
        let is_all = self.receive(|message| {
            if message.number != QUESTION {
                return;
            }
            is_torn |= message.is_torn();
            if message.kind == message_type(told) {
                take(message.attributes());
            } else if let Some(end) = message.end() {
                is_done = true;
                errno = end;
            }
        })?;
        match errno {
            0 if is_all && is_done && is_torn => Ok(Dumped::Torn),
            0 if is_all && is_done => Ok(Dumped::Whole),
            0 | libc::ENOENT | libc::EINTR | libc::EAGAIN => Ok(Dumped::Cut),
            _ => {
                let source = io::Error::from_raw_os_error(errno);
                Err(NetlinkError::socket(DUMPING, source))
            }
        }
    }

    fn ask(
        &mut self,
        message: u8,
        attributes: impl FnOnce(&mut Writer),
        mut take: impl FnMut(Message<'_>),
    ) -> Result<(), NetlinkError> {
        self.send(&request(message, QUESTION, attributes))?;
        self.receive(|message| {
            if message.number == QUESTION {
                take(message);
            }
        })?;
        Ok(())
    }
}
