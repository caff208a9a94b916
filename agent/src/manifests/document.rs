//! One file's text: its YAML documents, each parsed by itself so that a fault in one does not hide those of the others.

use serde_saphyr::{Error as YamlError, MessageFormatter, Options, UserMessageFormatter};

use super::error::{Excerpt, ManifestError};
use super::tree::{Node, Span};

/// One YAML document of a file, or the one JSON value.
pub(super) struct Document<'a> {
    file: &'a str,
    /// Lines of the file before the document.
    offset: usize,
    text: &'a str,
    /// Where in the text each line starts.
    lines: Vec<usize>,
}

impl<'a> Document<'a> {
    /// Splits a file at its `---` lines.
    pub(super) fn split(file: &'a str, text: &'a str) -> Vec<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut documents = Vec::new();
        let (mut start, mut position, mut first_line, mut line_number) = (0, 0, 0, 0);
        for line in text.split_inclusive('\n') {
            // Directives (`%YAML 1.2`) belong to the document that the `---` after them starts.
            if is_separator(line) && !text[start..position].lines().all(is_preamble) {
                documents.push(Self::new(file, first_line, &text[start..position]));
                (start, first_line) = (position, line_number);
            }
            position += line.len();
            line_number += 1;
        }
        documents.push(Self::new(file, first_line, &text[start..]));
        documents
    }

    fn new(file: &'a str, offset: usize, text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(position, _)| position + 1));
        Self {
            file,
            offset,
            text,
            lines: lines.collect(),
        }
    }

    /// Parses the document; `None` if it holds nothing but comments.
    pub(super) fn parse(&self) -> Result<Option<Node>, ManifestError> {
        match serde_saphyr::from_str_with_options::<Node>(self.text, options()) {
            Ok(node) => Ok(Some(node).filter(|node| !node.is_null())),
            Err(error) => Err(self.syntax_error(&error)),
        }
    }

    fn syntax_error(&self, error: &YamlError) -> ManifestError {
        let error = error.without_snippet();
        let end = Span {
            line: self.lines.len(),
            column: 1,
            width: 0,
            offset: None,
        };
        let span = error.location().map_or(end, Span::from);
        let line = self.line(span.line);
        let message = match error {
            YamlError::DuplicateMappingKey { key: Some(key), .. } => {
                format!(
                    "the key `{key}` is given twice in one mapping; only one of the two would count"
                )
            }
            _ if line.contains("{{") => {
                "this is a template, not YAML yet: render it first (`helm template`)".to_owned()
            }
            _ if line.starts_with('\t') || line.trim_start_matches(' ').starts_with('\t') => {
                format!(
                    "{}; YAML is indented with spaces, not tabs",
                    UserMessageFormatter.format_message(error)
                )
            }
            _ => UserMessageFormatter.format_message(error).into_owned(),
        };
        ManifestError::new(message).at(self.excerpt(span))
    }

    /// The place and its line, as errors show it.
    pub(super) fn excerpt(&self, span: Span) -> Excerpt {
        let line = self.line(span.line);
        // The one line of a large JSON file would take long to count through, for each of its objects.
        let known = span
            .offset
            .and_then(|offset| offset.checked_sub(self.start(span.line)?));
        let position = known
            .filter(|position| line.is_char_boundary(*position))
            .unwrap_or_else(|| {
                line.chars()
                    .take(span.column.saturating_sub(1))
                    .map(char::len_utf8)
                    .sum()
            });
        Excerpt::new(self.file, span.line + self.offset, span, line, position)
    }

    fn start(&self, line: usize) -> Option<usize> {
        self.lines.get(line.checked_sub(1)?).copied()
    }

    fn line(&self, number: usize) -> &'a str {
        let end = self.start(number + 1).unwrap_or(self.text.len());
        let line = self
            .start(number)
            .and_then(|start| self.text.get(start..end));
        line.unwrap_or_default().trim_end_matches(['\n', '\r'])
    }
}

/// `---` alone or followed by white space; YAML allows that nowhere but between documents.
fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_preamble(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', '%'])
}

fn options() -> Options {
    serde_saphyr::options! {
        // What `kubectl` reads as 8 must not be 10 here.
        legacy_octal_numbers: true,
        with_snippet: false,
        // A file's own size bounds what it can hold; only nesting and aliases make much of little.
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
        },
    }
}
