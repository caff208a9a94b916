//! A batch of messages about the table.

use super::super::batch::{BEGIN, END, edge};
use super::super::numbers::{DELETE_TABLE, IN_TABLE, NEW_TABLE};
use super::header;
use super::layout::NAME;
use crate::netlink::{ACKNOWLEDGE, Header, Writer};

/// `NLM_F_CREATE`
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_CREATE | NLM_F_APPEND`
pub(super) const APPEND: u16 = 0xc00;

/// A batch in the making. The kernel answers each of its messages.
pub(super) struct Commands {
    writer: Writer,
    /// The number of the last message.
    last: u32,
}

impl Commands {
    pub(super) fn new() -> Self {
        let (mut writer, last) = (Writer::default(), 1);
        writer.message(edge(BEGIN, last), |_| {});
        Self { writer, last }
    }

    /// Appends a message about the table.
    pub(super) fn add(&mut self, kind: u8, flags: u16, attributes: impl FnOnce(&mut Writer)) {
        self.last += 1;
        let header = Header {
            flags: flags | ACKNOWLEDGE,
            number: self.last,
            ..header(kind)
        };
        self.writer.message(header, |w| {
            w.text(IN_TABLE, NAME);
            attributes(w);
        });
    }

    /// Deletes the table, whether it is there or not.
    pub(super) fn delete_table(&mut self) {
        self.add(NEW_TABLE, CREATE, |w| w.be32(2, 0));
        self.add(DELETE_TABLE, 0, |_| {});
    }

    /// The whole batch, and the number of its last command.
    pub(super) fn finish(mut self) -> Option<(Vec<u8>, u32)> {
        self.writer.message(edge(END, self.last + 1), |_| {});
        Some((self.writer.finish()?, self.last))
    }
}
