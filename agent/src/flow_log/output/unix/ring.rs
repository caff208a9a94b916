//! The newest lines, once for all readers.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::queue::Limits;

/// The newest lines. A reader has only its place in them, so slow readers cost no memory, however many they are.
#[derive(Debug)]
pub(super) struct Ring {
    limits: Limits,
    lines: VecDeque<Entry>,
    bytes: usize,
    end: Place,
}

/// A place between two lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// How many lines were put in before it.
    index: u64,
    /// How many lines of the log those stood for.
    told: u64,
}

#[derive(Debug)]
struct Entry {
    /// With its newline.
    text: Arc<str>,
    /// How many lines of the log it stands for: one, or those it tells are missing.
    stands_for: u64,
}

impl Ring {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            lines: VecDeque::new(),
            bytes: 0,
            end: Place::default(),
        }
    }

    /// Puts a line in, and as many of the oldest out as the limits ask for. The newest always stays.
    pub(super) fn push(&mut self, mut line: String, stands_for: u64) {
        line.push('\n');
        self.bytes += line.len();
        self.end.index += 1;
        self.end.told += stands_for;
        let text = line.into();
        self.lines.push_back(Entry { text, stands_for });
        while self.lines.len() > 1
            && (self.lines.len() > self.limits.lines || self.bytes > self.limits.bytes)
        {
            self.pop();
        }
    }

    /// Forgets the lines before a place.
    pub(super) fn forget_before(&mut self, place: Place) {
        while !self.lines.is_empty() && self.start() < place.index {
            self.pop();
        }
    }

    /// The place after the newest line.
    pub(super) fn end(&self) -> Place {
        self.end
    }

    /// Lines of the log after a place.
    pub(super) fn told_since(&self, place: Place) -> u64 {
        self.end.told - place.told
    }

    /// The lines after a place, each with the place after it; `None` if the first of them is forgotten.
    pub(super) fn after(&self, place: Place) -> Option<impl Iterator<Item = (&Arc<str>, Place)>> {
        let skip = usize::try_from(place.index.checked_sub(self.start())?).ok()?;
        let after = move |place: &mut Place, entry: &'_ Entry| {
            place.index += 1;
            place.told += entry.stands_for;
            *place
        };
        let mut place = place;
        Some(
            self.lines
                .iter()
                .skip(skip)
                .map(move |entry| (&entry.text, after(&mut place, entry))),
        )
    }

    fn start(&self) -> u64 {
        self.end.index - self.lines.len() as u64
    }

    fn pop(&mut self) {
        if let Some(entry) = self.lines.pop_front() {
            self.bytes -= entry.text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ring: &Ring, place: Place) -> Option<Vec<(String, Place)>> {
        let lines = ring.after(place)?;
        Some(
            lines
                .map(|(text, place)| (text.trim_end().to_owned(), place))
                .collect(),
        )
    }

    fn words(ring: &Ring, place: Place) -> Option<String> {
        let texts = texts(ring, place)?;
        Some(texts.into_iter().map(|(text, _)| text + " ").collect())
    }

    #[test]
    fn keeps_the_newest_within_both_limits() {
        let mut ring = Ring::new(Limits {
            lines: 3,
            bytes: 10,
        });
        let start = ring.end();
        ring.push("a".to_owned(), 1);
        let second = ring.end();
        ring.push("b".to_owned(), 1);
        ring.push("lost".to_owned(), 40);
        assert_eq!(words(&ring, start).as_deref(), Some("a b lost "));
        assert_eq!(ring.told_since(start), 42);
        ring.push("d".to_owned(), 1);
        assert_eq!(words(&ring, start), None, "a is forgotten: three lines");
        assert_eq!(words(&ring, second).as_deref(), Some("b lost d "));
        ring.push("ef".to_owned(), 1);
        assert_eq!(words(&ring, second), None, "b is forgotten: ten bytes");
        assert_eq!(ring.told_since(second), 43);
        ring.push("longer than all".to_owned(), 1);
        let last = texts(&ring, ring.end()).expect("the end is known");
        assert!(last.is_empty());
        assert_eq!(ring.lines.len(), 1, "the newest stays");
    }

    #[test]
    fn places_walk_with_the_lines() {
        let mut ring = Ring::new(Limits {
            lines: 10,
            bytes: 100,
        });
        let start = ring.end();
        ring.push("a".to_owned(), 1);
        ring.push("lost".to_owned(), 5);
        ring.push("b".to_owned(), 1);
        let places: Vec<_> = texts(&ring, start)
            .expect("all there")
            .into_iter()
            .map(|(_, place)| ring.told_since(place))
            .collect();
        assert_eq!(places, [6, 1, 0]);
        let second = texts(&ring, start).expect("all there")[0].1;
        ring.forget_before(second);
        assert_eq!(words(&ring, start), None);
        assert_eq!(words(&ring, second).as_deref(), Some("lost b "));
        ring.forget_before(ring.end());
        assert_eq!(words(&ring, ring.end()).as_deref(), Some(""));
        assert_eq!(ring.bytes, 0);
    }
}
