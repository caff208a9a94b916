//! Requests on their own, and what comes of them.

use std::io;

use nix::libc;

use super::answer::Answer;
use super::attribute::{Attributes, Writer, written};
use super::channel::{Channel, Received};
use super::message::{ACKNOWLEDGE, Header, Message, Messages};

/// `NLM_F_DUMP`
const DUMP: u16 = 0x300;

/// How a dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dumped {
    /// All there is was told.
    Whole,
    /// Something was changed meanwhile, of what was asked for or of something else.
    Torn,
    /// Not all was told.
    Cut,
}

impl Channel {
    /// Sends a request, and reads nothing.
    pub(crate) fn request(
        &self,
        header: Header,
        attributes: impl FnOnce(&mut Writer),
    ) -> io::Result<()> {
        self.send(&encoded(header, attributes)?)
    }

    /// Sends a request and takes what comes back. Says whether that is all there was, or some was lost for want of room.
    pub(crate) fn ask(
        &mut self,
        header: Header,
        attributes: impl FnOnce(&mut Writer),
        mut take: impl FnMut(Message<'_>),
    ) -> io::Result<bool> {
        self.exchange(&encoded(header, attributes)?, |message| {
            if message.number == header.number {
                take(message);
            }
        })
    }

    /// Reads all objects that a dump tells of, which come as messages of kind `told`. If the kernel gives up, that is the
    /// error; what `ENOENT` means depends on what was asked for.
    pub(crate) fn dump(
        &mut self,
        header: Header,
        told: u16,
        attributes: impl FnOnce(&mut Writer),
        mut take: impl FnMut(Attributes<'_>),
    ) -> io::Result<Dumped> {
        self.dump_messages(header, told, attributes, |message| {
            take(message.attributes());
        })
    }

    /// As [`Channel::dump`], with what leads each object.
    pub(crate) fn dump_messages(
        &mut self,
        mut header: Header,
        told: u16,
        attributes: impl FnOnce(&mut Writer),
        mut take: impl FnMut(Message<'_>),
    ) -> io::Result<Dumped> {
        header.flags |= DUMP;
        let (mut end, mut is_torn) = (None, false);
        let is_all = self.ask(header, attributes, |message| {
            is_torn |= message.is_torn();
            if message.kind == told {
                take(message);
            } else if let Some(errno) = message.end() {
                end = Some(errno);
            }
        })?;
        match end {
            Some(0) if is_all && is_torn => Ok(Dumped::Torn),
            Some(0) if is_all => Ok(Dumped::Whole),
            None | Some(0 | libc::EINTR | libc::EAGAIN) => Ok(Dumped::Cut),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Sends a request and reads up to what the kernel says of it, which may have been lost. Datagrams before that go to
    /// `early`, for a socket that receives other things too.
    pub(crate) fn acknowledge(
        &mut self,
        mut header: Header,
        attributes: impl FnOnce(&mut Writer),
        mut early: impl FnMut(&[u8]),
    ) -> io::Result<Option<Answer>> {
        header.flags |= ACKNOWLEDGE;
        self.request(header, attributes)?;
        loop {
            match self.receive()? {
                Received::Datagram(datagram) => {
                    let ours = |message: &Message<'_>| message.number == header.number;
                    let mut answers = Messages(datagram).filter(ours);
                    match answers.find_map(|message| message.answer()) {
                        Some(answer) => return Ok(Some(answer)),
                        None => early(datagram),
                    }
                }
                Received::Gap => {}
                Received::Nothing => return Ok(None),
            }
        }
    }
}

/// Fails if an attribute is too long.
fn encoded(header: Header, attributes: impl FnOnce(&mut Writer)) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::from_raw_os_error(libc::EMSGSIZE);
    written(|w| w.message(header, attributes)).ok_or_else(too_long)
}
