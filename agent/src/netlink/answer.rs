//! What the kernel answers.

use super::attribute::Attributes;
use super::message::{HEADER, Message};

/// `NLMSG_ERROR`, also for success.
const ERROR: u16 = 2;
/// `NLMSG_DONE`
const DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`
const TORN: u16 = 0x10;
/// `NLM_F_CAPPED`
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`
const HAS_ATTRIBUTES: u16 = 0x200;

/// `NLMSGERR_ATTR_MSG`
const TEXT: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`
const OFFSET: u16 = 2;

/// What the kernel says of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 0 for success.
    pub(crate) errno: i32,
    /// Where in the request the attribute begins that is to blame.
    pub(crate) offset: Option<usize>,
    /// In the kernel's words.
    pub(crate) text: Option<String>,
}

impl Message<'_> {
    /// Whether what is dumped was changed meanwhile.
    pub(super) fn is_torn(&self) -> bool {
        self.kind != ERROR && self.flags & TORN != 0
    }

    /// How a dump ended, if this is its end: 0, or the number of an error.
    pub(super) fn end(&self) -> Option<i32> {
        match self.kind {
            DONE => {
                let code = self.payload.first_chunk().copied();
                Some(code.map_or(0, i32::from_ne_bytes).saturating_neg())
            }
            _ => self.answer().map(|answer| answer.errno),
        }
    }

    /// The answer, if this is one.
    pub(crate) fn answer(&self) -> Option<Answer> {
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

#[cfg(test)]
mod tests {
    use super::super::message::Messages;
    use super::*;

    /// An answer to a request numbered 7, that ends with `attributes`.
    fn message(flags: u16, code: i32, attributes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(36 + attributes.len()).unwrap_or_default();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(ERROR.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(code.to_ne_bytes());
        // The header of the request: 20 bytes long, of which 4 follow unless the answer is capped.
        bytes.extend(20_u32.to_ne_bytes());
        bytes.extend([0; 12]);
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn refusals_say_where_and_why() {
        let mut attributes = vec![8, 0, 1, 0, b'w', b'h', b'y', 0];
        attributes.extend([8, 0, 2, 0]);
        attributes.extend(36_u32.to_ne_bytes());
        let whole = [&[1, 2, 3, 4], &attributes[..]].concat();
        let told = Answer {
            errno: 2,
            offset: Some(36),
            text: Some("why".to_owned()),
        };
        let bare = |errno| Answer {
            errno,
            ..Answer::default()
        };
        let rows = [
            (
                message(CAPPED | HAS_ATTRIBUTES, -2, &attributes),
                told.clone(),
            ),
            (message(HAS_ATTRIBUTES, -2, &whole), told),
            (message(CAPPED, -2, &[]), bare(2)),
            (message(CAPPED, 0, &[]), bare(0)),
            (message(CAPPED, i32::MIN, &[]), bare(i32::MAX)),
            (message(CAPPED | HAS_ATTRIBUTES, -2, &[9, 0, 1, 0]), bare(2)),
        ];
        for (bytes, expected) in rows {
            let mut messages = Messages(&bytes);
            let found = messages.next();
            assert_eq!(found.map(|m| m.number), Some(7));
            assert_eq!(found.and_then(|m| m.answer()), Some(expected), "{bytes:?}");
            assert!(messages.next().is_none());
        }
    }

    #[test]
    fn what_is_cut_off_is_no_answer() {
        let bytes = message(HAS_ATTRIBUTES, -2, &[]);
        for length in 0..bytes.len() {
            assert!(Messages(&bytes[..length]).next().is_none(), "{length}");
            let mut short = bytes[..length].to_vec();
            if length >= 16 {
                let said = u32::try_from(length).unwrap_or_default();
                short[..4].copy_from_slice(&said.to_ne_bytes());
                let answer = Messages(&short).next().and_then(|m| m.answer());
                assert!(answer.is_none_or(|a| a.errno == 2), "{length}");
            }
        }
    }
}
