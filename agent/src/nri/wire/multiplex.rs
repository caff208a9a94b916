//! Several connections in one: each piece bears the number of its connection and its length, both of four bytes.

use super::{LARGEST_MESSAGE, WireError};

/// On this connection the runtime asks and the plugin answers.
pub(in crate::nri) const PLUGIN: u32 = 1;
/// On this one the plugin asks.
pub(in crate::nri) const RUNTIME: u32 = 2;

const HEADER: usize = 8;
/// A message with its header.
const LARGEST_FRAME: usize = LARGEST_MESSAGE + super::ttrpc::HEADER;

/// Takes the connections apart, whatever pieces the bytes come in.
#[derive(Debug, Default)]
pub(in crate::nri) struct Demultiplexer {
    header: [u8; HEADER],
    have: usize,
    connection: u32,
    left: usize,
}

impl Demultiplexer {
    /// The next bytes of one connection, which it takes off `bytes`; nothing if more are needed.
    pub(in crate::nri) fn next<'b>(
        &mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<(u32, &'b [u8])>, WireError> {
        while self.left == 0 {
            let Some((first, rest)) = bytes.split_first() else {
                return Ok(None);
            };
            *bytes = rest;
            self.header[self.have] = *first;
            self.have += 1;
            if self.have == HEADER {
                self.have = 0;
                self.begin()?;
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
        *bytes = rest;
        self.left -= piece.len();
        Ok(Some((self.connection, piece)))
    }

    fn begin(&mut self) -> Result<(), WireError> {
        let [a, b, c, d, length @ ..] = self.header;
        let length = u32::from_be_bytes(length);
        self.connection = u32::from_be_bytes([a, b, c, d]);
        self.left = usize::try_from(length)
            .ok()
            .filter(|length| *length <= LARGEST_FRAME)
            .ok_or(WireError::Frame(length))?;
        Ok(())
    }
}

/// A piece of one connection, ready to be sent.
pub(in crate::nri) fn frame(connection: u32, bytes: &[u8]) -> Vec<u8> {
    // What is sent from here is some hundred bytes long.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEADER + bytes.len());
    frame.extend(connection.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend(bytes);
    frame
}
