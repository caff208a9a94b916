//! Differences in words, as many as anybody reads.

use std::fmt::Display;

/// Lines that are kept.
const LINES: usize = 100;
/// Characters of what a line quotes.
const QUOTED: usize = 300;
/// Elements that a line names.
const NAMED: usize = 5;

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Differences {
    lines: Vec<String>,
    others: usize,
}

impl Differences {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn push(&mut self, line: String) {
        if self.lines.len() < LINES {
            self.lines.push(line);
        } else {
            self.others += 1;
        }
    }

    pub(super) fn into_lines(mut self) -> Vec<String> {
        if self.others > 0 {
            self.lines.push(format!("and {} more", self.others));
        }
        self.lines
    }
}

/// A rule's text, cut if it is long.
pub(super) fn quoted(text: impl Display) -> String {
    let text = text.to_string();
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("`{} …`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// `10.0.0.1, 10.0.0.2 and 3 others are …`
pub(super) fn listed<T: Display>(
    items: impl ExactSizeIterator<Item = T>,
    singular: &str,
    plural: &str,
) -> Option<String> {
    let count = items.len();
    let named: Vec<String> = items.take(NAMED).map(|item| item.to_string()).collect();
    let text = named.join(", ");
    match count {
        0 => None,
        1 => Some(format!("{text} {singular}")),
        _ if count > NAMED => Some(format!("{text} and {} others {plural}", count - NAMED)),
        _ => Some(format!("{text} {plural}")),
    }
}
