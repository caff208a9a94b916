//! Questions and answers: each has a header of ten bytes, with its length, the number of the question, what it is, and
//! flags.

use super::protobuf::{self, Value, Writer};
use super::{LARGEST_MESSAGE, WireError};

pub(super) const HEADER: usize = 10;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::nri) enum Kind {
    /// A question.
    Request,
    /// An answer.
    Response,
    /// Something of later versions, or a piece of a stream. Nothing here has streams.
    Other,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::nri) struct Message {
    pub(in crate::nri) stream: u32,
    pub(in crate::nri) kind: Kind,
    pub(in crate::nri) body: Vec<u8>,
}

/// Puts the messages of one connection together.
#[derive(Debug, Default)]
pub(in crate::nri) struct Messages {
    buffer: Vec<u8>,
}

impl Messages {
    /// Takes bytes, until one message is whole. Returns it, with what is left of the bytes.
    pub(in crate::nri) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, WireError> {
        self.fill(bytes, HEADER);
        let Some([a, b, c, d, e, f, g, h, kind, _flags]) = self.buffer.first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        let stream = u32::from_be_bytes([*e, *f, *g, *h]);
        let kind = match kind {
            1 => Kind::Request,
            2 => Kind::Response,
            _ => Kind::Other,
        };
        let whole = usize::try_from(length)
            .ok()
            .filter(|length| *length <= LARGEST_MESSAGE)
            .ok_or(WireError::Message(length))?
            + HEADER;
        self.fill(bytes, whole);
        if self.buffer.len() < whole {
            return Ok(None);
        }
        // The memory goes with the message: the next one is small again.
        let mut body = std::mem::take(&mut self.buffer);
        body.drain(..HEADER);
        Ok(Some(Message { stream, kind, body }))
    }

    /// Memory grows with what has come, not with what is claimed to come.
    fn fill(&mut self, bytes: &mut &[u8], until: usize) {
        let wanted = until.saturating_sub(self.buffer.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(wanted);
        self.buffer.extend(taken);
        *bytes = rest;
    }
}

/// A question of the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::nri) struct Request<'b> {
    pub(in crate::nri) service: &'b str,
    pub(in crate::nri) method: &'b str,
    pub(in crate::nri) payload: &'b [u8],
    /// How long whoever asks waits, in nanoseconds; 0 says nothing.
    pub(in crate::nri) timeout: i64,
}

impl<'b> Request<'b> {
    pub(in crate::nri) fn read(body: &'b [u8]) -> Result<Self, WireError> {
        let mut request = Self::default();
        for field in protobuf::fields(body) {
            match field? {
                (1, value) => request.service = value.text()?,
                (2, value) => request.method = value.text()?,
                (3, value) => request.payload = value.bytes()?,
                (4, value) => request.timeout = value.signed()?,
                _ => {}
            }
        }
        Ok(request)
    }

    /// The message that asks it.
    pub(in crate::nri) fn message(&self, stream: u32) -> Vec<u8> {
        let body = Writer::default()
            .text(1, self.service)
            .text(2, self.method)
            .bytes(3, self.payload)
            .number(4, self.timeout.cast_unsigned());
        message(stream, 1, &body.finish())
    }
}

/// What gRPC calls a method that does not exist.
const UNIMPLEMENTED: u64 = 12;

/// The message that answers a question.
pub(in crate::nri) fn answer(stream: u32, payload: &[u8]) -> Vec<u8> {
    message(stream, 2, &Writer::default().bytes(2, payload).finish())
}

/// The message that says that there is no such method.
pub(in crate::nri) fn unimplemented(stream: u32, why: &str) -> Vec<u8> {
    let status = Writer::default().number(1, UNIMPLEMENTED).text(2, why);
    let body = Writer::default().bytes(1, &status.finish());
    message(stream, 2, &body.finish())
}

/// What an answer of the runtime says: nothing if it agrees, else why not.
pub(in crate::nri) fn objection(body: &[u8]) -> Result<Option<String>, WireError> {
    let (mut code, mut why) = (0, "");
    for field in protobuf::fields(body) {
        if let (1, Value::Bytes(status)) = field? {
            for field in protobuf::fields(status) {
                match field? {
                    (1, value) => code = value.signed()?,
                    (2, value) => why = value.text()?,
                    _ => {}
                }
            }
        }
    }
    Ok((code != 0).then(|| why.to_owned()))
}

fn message(stream: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    // What is sent from here is some hundred bytes long.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_be_bytes());
    message.extend(stream.to_be_bytes());
    message.extend([kind, 0]);
    message.extend(body);
    message
}
