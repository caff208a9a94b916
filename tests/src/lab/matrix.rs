//! Who reaches whom, as a table.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::{Lab, LabError, Place, Probe, Transport};

/// A destination: a column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What it is called.
    pub title: String,
    /// The address that is dialled.
    pub to: IpAddr,
    /// What is asked for.
    pub transport: Transport,
}

/// The answers of all columns to all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Answered.
    Reached,
    /// Not answered.
    Blocked,
    /// Source and destination are the same.
    Own,
}

/// Packets cross the lab in microseconds: what is not answered by then was dropped.
const PATIENCE: Duration = Duration::from_millis(500);

impl Matrix {
    /// Tries every pair at once.
    pub fn measure(lab: &mut Lab, sources: &[Place], columns: &[Column]) -> Result<Self, LabError> {
        let probes: Vec<Probe> = sources
            .iter()
            .flat_map(|from| {
                columns
                    .iter()
                    .map(|column| Probe::new(from, column.to, column.transport).patience(PATIENCE))
            })
            .collect();
        let outcomes = lab.probe(&probes)?;
        let mut cells = probes.iter().zip(&outcomes).map(|(probe, outcome)| {
            if lab.owner(probe.to) == Some(&probe.from) {
                Cell::Own
            } else if outcome.answered {
                Cell::Reached
            } else {
                Cell::Blocked
            }
        });
        let rows = sources
            .iter()
            .map(|from| {
                (
                    from.to_string(),
                    cells.by_ref().take(columns.len()).collect(),
                )
            })
            .collect();
        Ok(Self {
            columns: columns.iter().map(|column| column.title.clone()).collect(),
            rows,
        })
    }

    /// The table, with the cells that differ from `before` set in brackets.
    pub fn compared_with<'a>(&'a self, before: &'a Self) -> impl fmt::Display + 'a {
        Table {
            matrix: self,
            before: Some(before),
        }
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Table {
            matrix: self,
            before: None,
        }
        .fmt(f)
    }
}

struct Table<'a> {
    matrix: &'a Matrix,
    before: Option<&'a Matrix>,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CORNER: &str = "from \\ to";
        let Matrix { columns, rows } = self.matrix;
        let first = rows
            .iter()
            .map(|(name, _)| name.chars().count())
            .chain([CORNER.len()])
            .max()
            .unwrap_or_default();
        // Titles are `name port`: each part has a line of its own.
        let parts = |title: &str| {
            title
                .split_once(' ')
                .map_or((title.to_owned(), String::new()), |(a, b)| {
                    (a.into(), b.into())
                })
        };
        let titles: Vec<(String, String)> = columns.iter().map(|title| parts(title)).collect();
        let widths: Vec<usize> = titles
            .iter()
            .map(|(name, port)| name.chars().count().max(port.chars().count()).max(3))
            .collect();
        let mut lines = vec![format!("  {CORNER:first$}"), format!("  {:first$}", "")];
        for ((name, port), width) in titles.iter().zip(&widths) {
            let _ = write!(lines[0], "  {name:^width$}");
            let _ = write!(lines[1], "  {port:^width$}");
        }
        for (y, (name, cells)) in rows.iter().enumerate() {
            let mut line = format!("  {name:first$}");
            for (x, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let sign = match cell {
                    Cell::Reached => "✓",
                    Cell::Blocked => "✗",
                    Cell::Own => "·",
                };
                let changed = self
                    .before
                    .is_some_and(|b| b.rows.get(y).and_then(|(_, r)| r.get(x)) != Some(cell));
                let sign = if changed {
                    format!("[{sign}]")
                } else {
                    sign.to_owned()
                };
                let _ = write!(line, "  {sign:^width$}");
            }
            lines.push(line);
        }
        lines
            .iter()
            .try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_their_titles_and_changes_in_brackets() {
        let matrix = |cells: [Cell; 2]| Matrix {
            columns: vec!["shop/web tcp/80".to_owned(), "db icmp".to_owned()],
            rows: vec![("a".to_owned(), cells.to_vec())],
        };
        let before = matrix([Cell::Own, Cell::Blocked]);
        let after = matrix([Cell::Own, Cell::Reached]);
        assert_eq!(
            after.compared_with(&before).to_string(),
            "  from \\ to  shop/web   db\n              tcp/80   icmp\n  a             ·      [✓]\n"
        );
    }
}
