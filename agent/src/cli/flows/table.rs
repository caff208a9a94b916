//! `netpol flows -o table`

use std::io::{self, Write};

use k8s_openapi::jiff::Timestamp;

use super::show::View;
use super::style::{Cell, Role, Style};
use super::words;
use crate::flow_log::reading::Entry;
use crate::flow_log::reading::record::{FlowRecord, Record};

const HEADER: [&str; 7] = [
    "TIME",
    "DIRECTION",
    "SOURCE",
    "DESTINATION",
    "PORT",
    "COUNT",
    "POLICIES",
];
const COUNT: usize = 5;
const POLICIES: usize = 6;
/// A cell that is longer does not make its column wider for all that come after it.
const WIDEST: usize = 56;
/// So many rows are aligned with each other; columns only grow from there.
const TOGETHER: usize = 256;

/// Rows as they come. Widths are known only for the rows so far.
#[derive(Debug)]
pub(super) struct Table {
    style: Style,
    widths: [usize; 7],
    begun: bool,
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Flow {
        cells: [String; 7],
        notes: Vec<(Role, String)>,
    },
    Lost(String),
}

impl Table {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            widths: HEADER.map(str::len),
            begun: false,
            rows: Vec::new(),
        }
    }

    fn line(&self, cells: [&str; 7], header: bool) -> String {
        let cells: [Cell<'_>; 7] = std::array::from_fn(|column| Cell {
            text: cells[column],
            width: if column == POLICIES {
                0
            } else {
                self.widths[column]
            },
            right: column == COUNT,
            role: match column {
                _ if header => Role::Header,
                POLICIES => Role::Policy,
                _ => Role::Plain,
            },
        });
        self.style.row(&cells)
    }
}

impl View for Table {
    fn take(&mut self, entry: Entry, out: &mut dyn Write) -> io::Result<()> {
        self.rows.push(Row::new(&entry.record));
        if self.rows.len() >= TOGETHER {
            self.flush(out)?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            let Row::Flow { cells, .. } = row else {
                continue;
            };
            for (width, cell) in self.widths.iter_mut().zip(cells) {
                let length = cell.chars().count();
                if length <= WIDEST {
                    *width = length.max(*width);
                }
            }
        }
        if !rows.is_empty() && !std::mem::replace(&mut self.begun, true) {
            out.write_all(self.line(HEADER, true).as_bytes())?;
        }
        for row in &rows {
            let (cells, notes) = match row {
                Row::Flow { cells, notes } => (cells, notes),
                Row::Lost(text) => {
                    writeln!(out, "{}", self.style.paint(Role::Alarm, text))?;
                    continue;
                }
            };
            let cells = cells.each_ref().map(String::as_str);
            out.write_all(self.line(cells, false).as_bytes())?;
            for (role, note) in notes {
                out.write_all(self.style.note(*role, note).as_bytes())?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.flush(out)
    }
}

impl Row {
    fn new(record: &Record) -> Self {
        match record {
            Record::Flow(flow) => Self::of_flow(flow),
            Record::Lost(lost) => Self::Lost(format!("{}  {}", time(lost.time), words::lost(lost))),
        }
    }

    fn of_flow(flow: &FlowRecord) -> Self {
        let cells = [
            time(flow.time),
            words::direction(flow.direction).to_owned(),
            words::end(&flow.source),
            words::end(&flow.destination),
            words::transport(flow.transport),
            flow.packets().to_string(),
            words::policies(flow.verdict, words::deciding(flow), flow.denied_by_more),
        ];
        let mut notes = Vec::new();
        if flow.is_crowd() {
            notes.push((
                Role::Alarm,
                "so many different flows that they are not told apart; this is one of them"
                    .to_owned(),
            ));
        }
        if let Some(own) = &flow.extensions {
            if own.suppressed > 0 {
                notes.push((
                    Role::Alarm,
                    format!(
                        "{} of the same pod and direction were dropped before this and not looked at",
                        words::count(own.suppressed, "packet")
                    ),
                ));
            }
            if own.fragment {
                notes.push((
                    Role::Reason,
                    "a later fragment of a packet; only the first has ports".to_owned(),
                ));
            }
        }
        notes.extend(words::reason(flow).map(|text| (Role::Reason, text)));
        notes.extend(words::hints(flow).map(|text| (Role::Hint, format!("hint: {text}"))));
        Self::Flow { cells, notes }
    }
}

/// `2026-11-21T10:00:00.123Z`, as `--since` takes it.
fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"))
}
