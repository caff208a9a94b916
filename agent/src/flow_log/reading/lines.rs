//! Lines of a stream that may go on after its end.

use std::io::{self, BufRead, BufReader, Read};

/// Longer lines are passed over: nobody writes a flow of that size, and memory is finite.
pub(super) const LONGEST: usize = 4 << 20;

/// Reads lines of bounded length.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: BufReader<R>,
    begun: Begun,
    /// Bytes read so far.
    position: u64,
}

/// The start of a line whose end has not been read yet.
#[derive(Debug, Default)]
pub(super) struct Begun {
    bytes: Vec<u8>,
    /// It is too long already; its bytes are dropped.
    too_long: bool,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// A line above [`LONGEST`].
    TooLong,
}

impl<R: Read> Lines<R> {
    /// The lines of `input` from where it stands.
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            begun: Begun::default(),
            position: 0,
        }
    }

    /// The next line that has an end; `None` where there is nothing more to read for now.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = match self.input.fill_buf() {
                Ok([]) => return Ok(None),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            self.begun.add(part);
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            self.position += used as u64;
            if end.is_some() {
                return Ok(Some(self.begun.end()));
            }
        }
    }

    /// What has begun and will have no end; `None` if nothing has.
    pub(super) fn rest(&mut self) -> Option<Line> {
        let line = self.begun.end();
        (line != Line::Whole(Vec::new())).then_some(line)
    }

    /// Whether another whole line can be had without waiting.
    pub(super) fn has_another(&self) -> bool {
        self.input.buffer().contains(&b'\n')
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// What it reads from.
    pub(super) fn get_ref(&self) -> &R {
        self.input.get_ref()
    }
}

impl Begun {
    /// Adds what follows of the line.
    pub(super) fn add(&mut self, part: &[u8]) {
        if self.bytes.len() + part.len() > LONGEST {
            self.too_long = true;
            self.bytes = Vec::new();
        } else if !self.too_long {
            self.bytes.extend_from_slice(part);
        }
    }

    /// The line, which ends here. Another begins.
    pub(super) fn end(&mut self) -> Line {
        let bytes = std::mem::take(&mut self.bytes);
        if std::mem::take(&mut self.too_long) {
            Line::TooLong
        } else {
            Line::Whole(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Gives a chunk at each call; an empty one is the end for the time being.
    struct Chunks(VecDeque<Vec<u8>>);

    impl Read for Chunks {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(mut chunk) = self.0.pop_front() else {
                return Ok(0);
            };
            let length = chunk.len().min(into.len());
            into[..length].copy_from_slice(&chunk[..length]);
            if length < chunk.len() {
                self.0.push_front(chunk.split_off(length));
            }
            Ok(length)
        }
    }

    fn lines(chunks: &[&str]) -> Lines<Chunks> {
        Lines::new(Chunks(
            chunks.iter().map(|text| text.as_bytes().to_vec()).collect(),
        ))
    }

    #[expect(clippy::unnecessary_wraps, reason = "as next() gives it")]
    fn whole(text: &str) -> Option<Line> {
        Some(Line::Whole(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_line_waits_for_its_end() {
        let mut lines = lines(&["a\n", "b", "", "c\n\nd", ""]);
        let mut next = || lines.next().expect("read");
        assert_eq!(next(), whole("a"));
        assert_eq!(next(), None);
        assert_eq!(next(), whole("bc"));
        assert_eq!(next(), whole(""));
        assert_eq!(next(), None);
        assert_eq!(lines.position(), 7);
        assert_eq!(lines.rest(), whole("d"));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn what_is_too_long_is_passed_over() {
        let long = "x".repeat(LONGEST);
        let mut lines = lines(&[&long, "\n", &long, "y\nshort\n"]);
        let mut next = || lines.next().expect("read");
        assert_eq!(next(), whole(&long));
        assert_eq!(next(), Some(Line::TooLong));
        assert_eq!(next(), whole("short"));
        assert_eq!(next(), None);
    }
}
