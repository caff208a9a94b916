//! What the kernel answers.

use super::attribute::Attributes;

/// `NLMSG_ERROR`, also for success.
const ERROR: u16 = 2;
/// `NLM_F_CAPPED`
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`
const HAS_ATTRIBUTES: u16 = 0x200;

/// `NLMSGERR_ATTR_MSG`
const TEXT: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`
const OFFSET: u16 = 2;

/// Bytes of netlink's header.
const HEADER: usize = 16;

/// One message from the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    /// The number of the request it answers.
    pub(super) number: u32,
    pub(super) payload: &'a [u8],
}

/// The messages in a datagram. What does not look like one ends it.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

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
            payload,
        })
    }
}

/// What the kernel says of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// 0 for success.
    pub(super) errno: i32,
    /// Where in the request the attribute begins that is to blame.
    pub(super) offset: Option<usize>,
    /// In the kernel's words.
    pub(super) text: Option<String>,
}

impl Message<'_> {
    /// The answer, if this is one.
    pub(super) fn answer(&self) -> Option<Answer> {
        if self.kind != ERROR {
            return None;
        }
        let (code, rest) = self.payload.split_first_chunk()?;
        let mut answer = Answer {
            errno: i32::from_ne_bytes(*code).saturating_neg(),
            ..Answer::default()
        };
        if self.flags & HAS_ATTRIBUTES == 0 {
            return Some(answer);
        }
        // The request comes back before them, or only its header.
        let request = if self.flags & CAPPED == 0 {
            u32::from_ne_bytes(*rest.first_chunk()?) as usize
        } else {
            HEADER
        };
        let attributes = rest.get(request.next_multiple_of(4)..).unwrap_or(&[]);
        for attribute in Attributes(attributes) {
            match attribute.kind {
                TEXT => {
                    let text = attribute.value.strip_suffix(&[0]);
                    let text = text.unwrap_or(attribute.value);
                    answer.text = Some(String::from_utf8_lossy(text).into_owned());
                }
                OFFSET => {
                    let offset = attribute.value.first_chunk().copied();
                    answer.offset = offset.map(|bytes| u32::from_ne_bytes(bytes) as usize);
                }
                _ => {}
            }
        }
        Some(answer)
    }
}
