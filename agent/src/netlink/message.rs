//! Messages: netlink's header, netfilter's behind it, and attributes.

use super::attribute::{Attributes, Writer};

/// `NFNL_SUBSYS_ULOG`
pub(crate) const LOG: u8 = 4;
/// `NFNL_SUBSYS_NFTABLES`
pub(crate) const NFTABLES: u8 = 10;
/// `NFPROTO_INET`
pub(crate) const INET: u8 = 1;

/// `NLM_F_REQUEST`
const REQUEST: u16 = 1;
/// `NLM_F_ACK`
pub(crate) const ACKNOWLEDGE: u16 = 4;

/// Bytes of netlink's header.
pub(super) const HEADER: usize = 16;
/// Bytes of both headers, netlink's and netfilter's.
pub(crate) const HEADERS: usize = 20;

/// A message's type: netfilter's subsystem and the message within it.
pub(crate) const fn kind(subsystem: u8, message: u8) -> u16 {
    u16::from_be_bytes([subsystem, message])
}

/// What leads a message to the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header {
    /// As of [`kind`].
    pub(crate) kind: u16,
    /// Besides that it is a request.
    pub(crate) flags: u16,
    /// What answers bear.
    pub(crate) number: u32,
    pub(crate) family: u8,
    /// The group for NFLOG, the subsystem for a batch.
    pub(crate) resource: u16,
}

impl Header {
    /// Of a message about tables of family inet, or what is in them.
    pub(crate) const fn nftables(message: u8) -> Self {
        Self {
            kind: kind(NFTABLES, message),
            flags: 0,
            number: 0,
            family: INET,
            resource: 0,
        }
    }
}

impl Writer {
    /// A whole message.
    pub(crate) fn message(&mut self, header: Header, attributes: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.raw(&[0; 4]);
        self.raw(&header.kind.to_ne_bytes());
        self.raw(&(REQUEST | header.flags).to_ne_bytes());
        self.raw(&header.number.to_ne_bytes());
        self.raw(&[0; 4]);
        let [high, low] = header.resource.to_be_bytes();
        self.raw(&[header.family, 0, high, low]);
        attributes(self);
        self.close_message(start);
    }
}

/// One message from the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(super) flags: u16,
    /// The number of the request it answers.
    pub(crate) number: u32,
    /// The number of the socket that it is due to.
    pub(crate) port: u32,
    /// What follows netlink's header.
    pub(super) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// What an object that is told of belongs to.
    pub(crate) fn family(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// The attributes of an object that is told of.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        self.attributes_behind(HEADERS - HEADER)
    }

    /// The attributes behind a second header of another length than netfilter's.
    pub(crate) fn attributes_behind(&self, header: usize) -> Attributes<'a> {
        Attributes(self.payload.get(header..).unwrap_or(&[]))
    }

    /// A byte in that header, by its place.
    pub(crate) fn byte_at(&self, place: usize) -> Option<u8> {
        self.payload.get(place).copied()
    }

    /// A number in that header, by its place.
    pub(crate) fn number_at(&self, place: usize) -> Option<u32> {
        let bytes = self.payload.get(place..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    }
}

/// The messages in a datagram. What does not look like one ends it.
#[derive(Clone, Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (head, _) = self.0.split_first_chunk::<HEADER>()?;
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let payload = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Message {
            kind: u16::from_ne_bytes([head[4], head[5]]),
            flags: u16::from_ne_bytes([head[6], head[7]]),
            number: u32::from_ne_bytes([head[8], head[9], head[10], head[11]]),
            port: u32::from_ne_bytes([head[12], head[13], head[14], head[15]]),
            payload,
        })
    }
}
