//! What is wrong with manifests, told as a compiler would: the object, the field, and the line with a caret below it.

use std::fmt;

use super::tree::Span;

/// Everything that is wrong with a set of manifests. Never empty.
#[derive(Debug)]
pub struct ManifestErrors(Vec<ManifestError>);

impl ManifestErrors {
    /// `Ok` if there are no errors.
    pub(super) fn none_of(errors: Vec<ManifestError>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }

    /// The errors by file and line.
    pub fn iter(&self) -> impl Iterator<Item = &ManifestError> {
        self.0.iter()
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            write!(f, "{}error: {error}", if i == 0 { "" } else { "\n\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestErrors {}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    message: String,
    place: Option<Box<Excerpt>>,
    note: Option<Box<(&'static str, Excerpt)>>,
}

impl ManifestError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            note: None,
        }
    }

    pub(super) fn at(mut self, place: Excerpt) -> Self {
        self.place = Some(Box::new(place));
        self
    }

    pub(super) fn note(mut self, text: &'static str, place: Excerpt) -> Self {
        self.note = Some(Box::new((text, place)));
        self
    }

    /// The object, the field and the problem, without the excerpt.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.message))?;
        if let Some(place) = &self.place {
            write!(f, "\n{place}")?;
        }
        if let Some(note) = &self.note {
            let (text, place) = &**note;
            write!(f, "\nnote: {text}\n{place}")?;
        }
        Ok(())
    }
}

/// A line of a file with a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    file: String,
    line: usize,
    column: usize,
    /// The line, or the part of it around the place if it is long.
    text: String,
    /// Where the place is within `text`.
    indent: String,
    carets: usize,
}

/// Characters shown of a line; JSON files often have just one.
const SHOWN: usize = 120;

impl Excerpt {
    /// A place in a line of text, `position` bytes after its start.
    pub(super) fn new(file: &str, line: usize, span: Span, text: &str, position: usize) -> Self {
        let (left, right) = text.split_at_checked(position).unwrap_or((text, ""));
        // Of a long line, what is around the place.
        let near = left.chars().rev().take(SHOWN * 2 / 3 + 1).count();
        let before = if near > SHOWN * 2 / 3 {
            SHOWN / 3
        } else {
            near
        };
        let start = left
            .char_indices()
            .rev()
            .take(before)
            .last()
            .map_or(left.len(), |(start, _)| start);
        let shown: String = left[start..]
            .chars()
            .chain(right.chars())
            .take(SHOWN)
            .collect();
        let length = shown.chars().count();
        // A tab in the line needs a tab in the line below it, or the caret stands elsewhere.
        let indent = shown
            .chars()
            .take(before)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let carets = span.width.clamp(1, (length - before).max(1));
        Self {
            file: printable(file),
            line,
            column: span.column,
            text: printable(&shown),
            indent,
            carets,
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.text.trim_end())?;
        write!(f, "{gutter} | {}{}", self.indent, "^".repeat(self.carets))
    }
}

/// Keeps what others wrote from sending control sequences to the terminal. The text is one line.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
