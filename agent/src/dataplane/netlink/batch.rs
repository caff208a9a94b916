//! All messages of one commit, and which command each of them is of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy_compiler::ruleset::Transaction;

use super::NetlinkError;
use super::command::{Command, commands, shortened};
use super::numbers::ELEMENTS;
use crate::netlink::{ACKNOWLEDGE, Attributes, HEADERS, Header, NFTABLES, Writer, written};

/// `NFNL_MSG_BATCH_BEGIN`
pub(super) const BEGIN: u16 = 16;
/// `NFNL_MSG_BATCH_END`
pub(super) const END: u16 = 17;

/// `NFNL_BATCH_GENID`
const GENERATION: u16 = 1;
/// Where its value is in a batch.
const GENERATION_AT: usize = HEADERS + 4;

/// A number that no command has.
pub(super) const NO_COMMAND: u32 = 0;

/// Has the kernel refuse a batch unless the last commit to nftables, by whomever, is the one of this number. 0 is any.
pub(super) fn bind(batch: &mut [u8], generation: u32) {
    if let Some(value) = batch.get_mut(GENERATION_AT..GENERATION_AT + 4) {
        value.copy_from_slice(&generation.to_be_bytes());
    }
}

/// A batch of no commands. It waits for its turn as any, and commits nothing.
pub(super) fn nothing() -> Vec<u8> {
    let written = written(|w| {
        w.message(edge(BEGIN, FIRST), |_| {});
        w.message(edge(END, FIRST + 1), |_| {});
    });
    written.unwrap_or_default()
}

/// What begins or ends a batch.
pub(super) fn edge(kind: u16, number: u32) -> Header {
    Header {
        kind,
        number,
        resource: NFTABLES.into(),
        ..Header::default()
    }
}

/// A batch in the making.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    writer: Writer,
    /// Where each message begins, and what it is of.
    messages: Vec<(usize, Command<'a>)>,
    sets: u32,
}

/// A batch to be sent.
#[derive(Debug)]
pub(super) struct Encoded<'a> {
    pub(super) bytes: Vec<u8>,
    /// The number of the last command, which the kernel acknowledges whatever becomes of it.
    pub(super) last: u32,
    messages: Vec<(usize, Command<'a>)>,
}

/// The number of the message that begins a batch; those of its commands follow.
const FIRST: u32 = 1;

impl<'a> Batch<'a> {
    /// Writes a transaction as messages.
    pub(super) fn encode(transaction: &'a Transaction) -> Result<Encoded<'a>, NetlinkError> {
        let mut batch = Self {
            writer: Writer::default(),
            messages: Vec::new(),
            sets: 0,
        };
        // After any commit, unless it is bound.
        batch.edge(BEGIN, FIRST, |w| w.be32(GENERATION, 0));
        for operation in transaction.operations() {
            commands(operation, |command| batch.command(command));
        }
        batch.finish()
    }

    fn finish(mut self) -> Result<Encoded<'a>, NetlinkError> {
        let end = self.next_number();
        self.edge(END, end, |_| {});
        let Some(mut bytes) = self.writer.finish() else {
            return Err(NetlinkError::TooLong);
        };
        if let Some((start, _)) = self.messages.last() {
            let flags = &mut bytes[start + 6..start + 8];
            let old = u16::from_ne_bytes([flags[0], flags[1]]);
            flags.copy_from_slice(&(old | ACKNOWLEDGE).to_ne_bytes());
        }
        Ok(Encoded {
            bytes,
            last: end.wrapping_sub(1),
            messages: self.messages,
        })
    }

    /// Appends one message.
    pub(super) fn append(
        &mut self,
        kind: u8,
        flags: u16,
        command: Command<'a>,
        attributes: impl FnOnce(&mut Writer),
    ) {
        let number = self.next_number();
        self.messages.push((self.writer.len(), command));
        let header = Header {
            flags,
            number,
            ..Header::nftables(kind)
        };
        self.writer.message(header, attributes);
    }

    /// A number for a set that is made, by which messages of this batch can name it.
    pub(super) fn set_number(&mut self) -> u32 {
        self.sets = self.sets.wrapping_add(1);
        self.sets
    }

    fn edge(&mut self, kind: u16, number: u32, attributes: impl FnOnce(&mut Writer)) {
        self.writer.message(edge(kind, number), attributes);
    }

    fn next_number(&self) -> u32 {
        let count = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        FIRST.wrapping_add(count).wrapping_add(1)
    }
}

impl Encoded<'_> {
    /// Takes the end away. The kernel looks at such a batch as at any, and then forgets it.
    pub(super) fn only_try(&mut self) {
        let length = self.bytes.len().saturating_sub(HEADERS);
        self.bytes.truncate(length);
    }

    /// The command of a message by its number, with the element at `offset` within the message if it is of
    /// elements. The message that begins the batch stands for all of it.
    pub(super) fn describe(&self, number: u32, offset: Option<usize>) -> Option<String> {
        let place = number.checked_sub(FIRST + 1)?;
        let (start, command) = self.messages.get(place as usize)?;
        let text = shortened(command);
        let element = offset.and_then(|offset| self.element(*start, offset));
        Some(match element {
            Some(element) => format!("{text}, element {element}"),
            None => text,
        })
    }

    /// How many messages there are.
    pub(super) fn count(&self) -> usize {
        self.messages.len()
    }

    /// The element whose attribute begins at `offset` in the message at `start`, if there is one.
    fn element(&self, start: usize, offset: usize) -> Option<String> {
        let message = self.bytes.get(start..)?;
        let length = u32::from_ne_bytes(*message.first_chunk()?) as usize;
        let attributes = message.get(HEADERS..length)?;
        let list = Attributes(attributes)
            .find(|attribute| attribute.kind == ELEMENTS && attribute.is_nested)?;
        let at = message.get(offset..length)?;
        let is_inside = list.value.as_ptr_range().contains(&at.as_ptr());
        let element = Attributes(at).next().filter(|_| is_inside)?;
        let mut parts = Attributes(element.value);
        let key = parts.find(|part| part.kind == 1 && part.is_nested)?;
        let value = Attributes(key.value).next()?.value;
        element_text(value)
    }
}

/// An address, a pair of address and port, or a port, as told by the length.
pub(super) fn element_text(key: &[u8]) -> Option<String> {
    let (address, rest): (IpAddr, &[u8]) = match key.len() {
        2 => return Some(u16::from_be_bytes([key[0], key[1]]).to_string()),
        4 | 8 => {
            let (address, rest) = key.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*address).into(), rest)
        }
        _ => {
            let (address, rest) = key.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*address).into(), rest)
        }
    };
    Some(match rest.first_chunk() {
        Some(port) => format!("{address} . {}", u16::from_be_bytes(*port)),
        None => address.to_string(),
    })
}
