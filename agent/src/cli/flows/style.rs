//! Colours, and how wide the terminal is.

use std::env;
use std::ffi::OsString;
use std::io::{IsTerminal, Stdout};

use clap::ValueEnum;

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    #[value(help = "In a terminal, unless NO_COLOR is set")]
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Color {
    fn is_wanted(self, terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
        let forbidden = || variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let incapable = || variable("TERM").is_some_and(|value| value == "dumb");
        match self {
            Self::Auto => terminal && !forbidden() && !incapable(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// How text may look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub(super) color: bool,
    /// In characters; `None` if lines may be of any length.
    pub(super) width: Option<usize>,
}

/// What is told apart by colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    Header,
    Policy,
    Reason,
    Hint,
    Alarm,
}

impl Style {
    pub(super) fn new(color: Color, stdout: &Stdout) -> Self {
        Self {
            color: color.is_wanted(stdout.is_terminal(), |name| env::var_os(name)),
            width: terminal_size::terminal_size_of(stdout)
                .map(|(width, _)| usize::from(width.0))
                .filter(|width| *width > 0),
        }
    }

    /// The text in its colour.
    pub(super) fn paint(self, role: Role, text: &str) -> String {
        let code = match role {
            Role::Header => "1",
            Role::Policy => "33",
            Role::Reason => "2",
            Role::Hint => "36",
            Role::Alarm => "31",
            Role::Plain => return text.to_owned(),
        };
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Cells beside each other, padded to their widths (to the right where `right` says so). Where the terminal ends,
    /// they go on in the next line: nothing is cut.
    pub(super) fn row(self, cells: &[Cell<'_>]) -> String {
        let mut text = String::new();
        let mut used = 0;
        // Blanks are written only before something that is visible.
        let mut blanks = 0;
        for cell in cells {
            let length = cell.text.chars().count();
            let full = cell.width.max(length);
            let limit = self.width.unwrap_or(usize::MAX);
            if used > 0 && used + 2 + length > limit {
                text.push_str("\n    ");
                (used, blanks) = (4, 0);
            } else if used > 0 {
                blanks += 2;
                used += 2;
            }
            let (before, after) = if cell.right {
                (full - length, 0)
            } else {
                (0, full - length)
            };
            if length > 0 {
                text.extend(std::iter::repeat_n(' ', blanks + before));
                text.push_str(&self.paint(cell.role, cell.text));
                blanks = after;
            } else {
                blanks += full;
            }
            used += full;
        }
        text.push('\n');
        text
    }

    /// An indented paragraph.
    pub(super) fn note(self, role: Role, text: &str) -> String {
        let limit = self.width.unwrap_or(usize::MAX).max(40);
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        let mut length = 4;
        for word in text.split(' ') {
            let word_length = word.chars().count();
            if !line.is_empty() && length + 1 + word_length > limit {
                lines.push(std::mem::take(&mut line));
                length = 6;
            }
            if !line.is_empty() {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += word_length;
        }
        lines.push(line);
        let painted = lines.iter().enumerate().map(|(number, line)| {
            let indent = if number == 0 { "    " } else { "      " };
            format!("{indent}{}\n", self.paint(role, line))
        });
        painted.collect()
    }
}

/// A cell of a row.
pub(super) struct Cell<'a> {
    pub(super) text: &'a str,
    pub(super) width: usize,
    pub(super) right: bool,
    pub(super) role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str, width: usize, right: bool) -> Cell<'_> {
        Cell {
            text,
            width,
            right,
            role: Role::Policy,
        }
    }

    #[test]
    fn when_there_are_colours() {
        let rows = [
            (Color::Auto, true, "TERM=xterm", true),
            (Color::Auto, false, "TERM=xterm", false),
            (Color::Auto, true, "TERM=dumb", false),
            (Color::Auto, true, "NO_COLOR=1", false),
            (Color::Auto, true, "NO_COLOR=", true),
            (Color::Always, false, "NO_COLOR=1", true),
            (Color::Never, true, "TERM=xterm", false),
        ];
        for (color, terminal, variable, expected) in rows {
            let (name, value) = variable.split_once('=').expect("a variable");
            let wanted = color.is_wanted(terminal, |asked| {
                (asked == name).then(|| OsString::from(value))
            });
            assert_eq!(wanted, expected, "{color:?} {terminal} {variable}");
        }
    }

    #[test]
    fn rows_go_on_where_the_terminal_ends() {
        let cells = [
            cell("a", 3, false),
            cell("12", 4, true),
            cell("shop/db", 0, false),
        ];
        let row = |color, width| Style { color, width }.row(&cells);
        assert_eq!(row(false, None), "a      12  shop/db\n");
        assert_eq!(row(false, Some(18)), "a      12  shop/db\n");
        assert_eq!(row(false, Some(17)), "a      12\n    shop/db\n");
        assert_eq!(
            row(true, None),
            "\x1b[33ma\x1b[0m      \x1b[33m12\x1b[0m  \x1b[33mshop/db\x1b[0m\n"
        );
        let empty = [cell("a", 3, false), cell("", 5, false), cell("", 0, false)];
        assert_eq!(Style::default().row(&empty), "a\n");
    }

    #[test]
    fn notes_are_broken_at_blanks() {
        let note = |width| {
            let style = Style {
                color: false,
                width,
            };
            style.note(Role::Hint, "the quick brown fox jumps over the lazy dog")
        };
        assert_eq!(
            note(None),
            "    the quick brown fox jumps over the lazy dog\n"
        );
        assert_eq!(
            note(Some(40)),
            "    the quick brown fox jumps over the\n      lazy dog\n"
        );
    }
}
