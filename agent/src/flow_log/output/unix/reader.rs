//! One who has connected.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::LostLine;
use super::ring::{Place, Ring};

/// How long one who is dropped may take to read why.
const FAREWELL: Duration = Duration::from_secs(5);

/// Lines written with one call.
const TOGETHER: usize = 64;

/// A connection and how far its reader has come. What it writes to us is never read, and so costs only itself.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) stream: UnixStream,
    /// After the last line that was written to it, in part at least.
    place: Place,
    /// To be written before the lines after `place`: the rest of a line, the farewell.
    pending: VecDeque<Arc<str>>,
    /// Bytes of the first of those that are written.
    offset: usize,
    /// The socket's buffer is full.
    pub(super) blocked: bool,
    /// It was too slow and is gone then, or when it has read so.
    parting: Option<Instant>,
}

impl Reader {
    /// One who reads from `place` on.
    pub(super) fn new(stream: UnixStream, place: Place) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            place,
            pending: VecDeque::new(),
            offset: 0,
            blocked: false,
            parting: None,
        })
    }

    /// From where on it needs lines; `None` if it gets no more, since it was too slow.
    pub(super) fn place(&self) -> Option<Place> {
        self.parting.is_none().then_some(self.place)
    }

    /// When it must be looked at again, whether it reads or not.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.parting
    }

    /// Whether there is something to be written.
    pub(super) fn is_behind(&self, ring: &Ring) -> bool {
        !self.pending.is_empty() || (self.parting.is_none() && self.place != ring.end())
    }

    /// Writes as much as it takes without waiting. False if the connection is to be closed.
    pub(super) fn send(&mut self, ring: &Ring, lost_line: &LostLine, now: Instant) -> bool {
        if self.parting.is_none() && ring.after(self.place).is_none() {
            let mut farewell = lost_line(ring.told_since(self.place));
            farewell.push('\n');
            self.pending.push_back(farewell.into());
            self.parting = Some(now + FAREWELL);
        }
        while !self.blocked && self.is_behind(ring) {
            match self.write_once(ring) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(_) => return false,
            }
        }
        self.parting
            .is_none_or(|deadline| !self.pending.is_empty() && now < deadline)
    }

    fn write_once(&mut self, ring: &Ring) -> io::Result<()> {
        let lines = ring
            .after(self.place)
            .filter(|_| self.parting.is_none())
            .into_iter()
            .flatten();
        let texts = self.pending.iter().chain(lines.map(|(text, _)| text));
        let mut slices: Vec<_> = texts
            .take(TOGETHER)
            .map(|text| IoSlice::new(text.as_bytes()))
            .collect();
        let mut all = slices.as_mut_slice();
        IoSlice::advance_slices(&mut all, self.offset);
        let count = (&self.stream).write_vectored(all)?;
        if count == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.advance(ring, count);
        Ok(())
    }

    fn advance(&mut self, ring: &Ring, count: usize) {
        let mut left = self.offset + count;
        self.offset = 0;
        while let Some(text) = self.pending.front() {
            if left < text.len() {
                self.offset = left;
                return;
            }
            left -= text.len();
            self.pending.pop_front();
        }
        for (text, after) in ring.after(self.place).into_iter().flatten() {
            if left == 0 {
                return;
            }
            self.place = after;
            if left < text.len() {
                self.pending.push_back(text.clone());
                self.offset = left;
                return;
            }
            left -= text.len();
        }
    }
}
