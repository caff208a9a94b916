//! `netpol flows -o summary`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use k8s_openapi::jiff::Timestamp;

use super::groups::{Group, Groups, Key, MOST_ADDRESSES, MOST_GROUPS, Peer};
use super::show::View;
use super::style::{Cell, Role, Style};
use super::words;
use crate::flow_log::reading::Entry;
use crate::flow_log::reading::record::{FlowRecord, LostRecord, Record};
use crate::manifests::printable;

const HEADER: [&str; 8] = [
    "PACKETS",
    "FLOWS",
    "LAST SEEN",
    "DIRECTION",
    "SOURCE",
    "DESTINATION",
    "PORT",
    "POLICIES",
];
const POLICIES: usize = 7;
/// Whoever writes the log may write any word there.
const MOST_PLACES: usize = 8;

/// Groups of flows, those with most packets first; written at the end.
#[derive(Debug)]
pub(super) struct Summary {
    style: Style,
    top: usize,
    groups: Groups,
    total: Group,
    first: Option<Timestamp>,
    /// Some lines stand for flows that nobody has counted.
    crowds: bool,
    suppressed: u64,
    lost: BTreeMap<String, u64>,
}

impl Summary {
    pub(super) fn new(style: Style, top: usize) -> Self {
        Self {
            style,
            top,
            groups: Groups::default(),
            total: Group::default(),
            first: None,
            crowds: false,
            suppressed: 0,
            lost: BTreeMap::new(),
        }
    }

    fn add(&mut self, flow: &FlowRecord) {
        self.groups.add(flow);
        let own = flow.extensions.as_deref();
        self.suppressed = self
            .suppressed
            .saturating_add(own.map_or(0, |own| own.suppressed));
        self.total.packets = self.total.packets.saturating_add(flow.packets());
        self.total.flows += u64::from(flow.is_first());
        self.crowds |= flow.is_crowd();
        self.total.last = self.total.last.max(flow.time);
        if let Some(time) = flow.time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
        }
    }

    fn add_lost(&mut self, lost: &LostRecord) {
        let place = if self.lost.len() < MOST_PLACES || self.lost.contains_key(&lost.at) {
            lost.at.as_str()
        } else {
            "elsewhere"
        };
        let sum = self.lost.entry(place.to_owned()).or_default();
        *sum = sum.saturating_add(lost.count);
    }

    fn table(&self, ranked: &[(&Key, &Group)]) -> String {
        let rows: Vec<[String; 8]> = ranked
            .iter()
            .map(|(key, group)| cells(key, group))
            .collect();
        let width = |column: usize| {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or(0).max(HEADER[column].len())
        };
        let mut widths: [usize; 8] = std::array::from_fn(width);
        widths[POLICIES] = 0;
        let line = |cells: [&str; 8], header: bool| {
            let cells: [Cell<'_>; 8] = std::array::from_fn(|column| Cell {
                text: cells[column],
                width: widths[column],
                right: column < 2,
                role: match column {
                    _ if header => Role::Header,
                    POLICIES => Role::Policy,
                    _ => Role::Plain,
                },
            });
            self.style.row(&cells)
        };
        let mut text = line(HEADER, true);
        for (row, (_, group)) in rows.iter().zip(ranked) {
            text += &line(row.each_ref().map(String::as_str), false);
            if let Some(reason) = &group.reason {
                text += &self.style.note(Role::Reason, reason);
            }
            for hint in &group.hints {
                text += &self.style.note(Role::Hint, &format!("hint: {hint}"));
            }
        }
        text
    }

    /// The sums, and what is missing in them.
    fn totals(&self, groups: usize, shown: usize) -> Vec<String> {
        let mut lines = vec![format!(
            "{}, {}, {}",
            words::count(self.total.packets, "packet"),
            if self.crowds {
                format!("more than {}", words::count(self.total.flows, "flow"))
            } else {
                words::count(self.total.flows, "flow")
            },
            words::count(groups as u64, "group"),
        )];
        if let (Some(first), Some(last)) = (self.first, self.total.last) {
            let _ = write!(lines[0], ", from {first:.0} to {last:.0}");
        }
        if shown < groups {
            lines.push(format!(
                "shown: the {} with most packets (--top)",
                words::count(shown as u64, "group")
            ));
        }
        if self.groups.by_network {
            lines.push(format!(
                "more than {MOST_ADDRESSES} addresses outside the cluster: they are counted by /24 and /64"
            ));
        }
        let others = &self.groups.others;
        if others.packets > 0 {
            lines.push(format!(
                "of more than {MOST_GROUPS} groups those with fewest packets are left out: {}, {}",
                words::count(others.packets, "packet"),
                words::count(others.flows, "flow")
            ));
        }
        if self.suppressed > 0 {
            lines.push(format!(
                "besides, dropped and not looked at, since they were too many: {}",
                words::count(self.suppressed, "packet")
            ));
        }
        for (place, count) in &self.lost {
            lines.push(format!(
                "besides, lost: {}, {}",
                words::count(*count, "event"),
                printable(words::lost_at(place))
            ));
        }
        lines
    }
}

impl View for Summary {
    fn take(&mut self, entry: Entry, _: &mut dyn Write) -> io::Result<()> {
        match &entry.record {
            Record::Flow(flow) => self.add(flow),
            Record::Lost(lost) => self.add_lost(lost),
        }
        Ok(())
    }

    fn flush(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut ranked = self.groups.ranked();
        let groups = ranked.len();
        ranked.truncate(self.top);
        if !ranked.is_empty() {
            out.write_all(self.table(&ranked).as_bytes())?;
            out.write_all(b"\n")?;
        }
        for line in self.totals(groups, ranked.len()) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

fn cells(key: &Key, group: &Group) -> [String; 8] {
    let various = [&key.source, &key.destination].contains(&&Peer::Various);
    [
        group.packets.to_string(),
        if various {
            "many".to_owned()
        } else {
            // Of a flow that began before, there are only repeats.
            group.flows.max(1).to_string()
        },
        group
            .last
            .map_or_else(|| "-".to_owned(), |time| format!("{time:.0}")),
        words::direction(key.direction).to_owned(),
        peer(&key.source),
        peer(&key.destination),
        match key.transport {
            None if various => "various".to_owned(),
            transport => words::transport(transport),
        },
        words::policies(key.verdict, &key.policies, key.policies_more),
    ]
}

fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Known(text) => printable(text),
        Peer::Outside(address) => address.to_string(),
        Peer::Network(network) => network.to_string(),
        Peer::Various => "various".to_owned(),
    }
}
