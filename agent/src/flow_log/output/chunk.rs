//! Lines that are written with one call, and which of them arrived.

use std::ops::AddAssign;

/// Whole lines, one after the other.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    /// Where it ends in the chunk.
    end: usize,
    /// 0 for a line of the log; else this line tells that so many are missing.
    gap: u64,
}

/// What became of a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Lines written.
    pub(super) written: u64,
    /// Lines not written.
    pub(super) lost: u64,
    /// Lines missing that are still to be told of: those above and those that were to be told of by a line that is among
    /// them.
    pub(super) untold: u64,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.lost += other.lost;
        self.untold += other.untold;
    }
}

impl Chunk {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds a line of the log.
    pub(super) fn line(&mut self, line: &str) {
        self.push(line, 0);
    }

    /// Adds a line that tells of missing ones.
    pub(super) fn gap(&mut self, line: &str, missing: u64) {
        self.push(line, missing);
    }

    fn push(&mut self, line: &str, gap: u64) {
        self.bytes.extend_from_slice(line.as_bytes());
        self.bytes.push(b'\n');
        let end = self.bytes.len();
        self.pieces.push(Piece { end, gap });
    }

    /// Empties it, of which the first `arrived` bytes were written.
    pub(super) fn settle(&mut self, arrived: usize) -> Outcome {
        let mut outcome = Outcome::default();
        for piece in self.pieces.drain(..) {
            outcome += match (piece.end <= arrived, piece.gap) {
                (true, 0) => Outcome {
                    written: 1,
                    ..Outcome::default()
                },
                (true, _) => Outcome::default(),
                (false, 0) => Outcome {
                    lost: 1,
                    untold: 1,
                    ..Outcome::default()
                },
                (false, untold) => Outcome {
                    untold,
                    ..Outcome::default()
                },
            };
        }
        self.bytes.clear();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_and_what_did_not() {
        // "a\n" 0..2, "lost 7\n" 2..9, "bc\n" 9..12
        for (arrived, written, lost, untold) in [
            (0, 0, 2, 9),
            (1, 0, 2, 9),
            (2, 1, 1, 8),
            (8, 1, 1, 8),
            (9, 1, 1, 1),
            (11, 1, 1, 1),
            (12, 2, 0, 0),
        ] {
            let mut chunk = Chunk::default();
            chunk.line("a");
            chunk.gap("lost 7", 7);
            chunk.line("bc");
            assert_eq!(chunk.bytes(), b"a\nlost 7\nbc\n");
            let outcome = Outcome {
                written,
                lost,
                untold,
            };
            assert_eq!(chunk.settle(arrived), outcome, "{arrived}");
            assert!(chunk.is_empty() && chunk.bytes().is_empty());
        }
    }
}
