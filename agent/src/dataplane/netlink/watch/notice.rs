//! Notifications of nftables, as the kernel sends them.

use policy_compiler::ruleset::TABLE;

use super::super::numbers::{
    DELETE_CHAIN, DELETE_ELEMENTS, DELETE_RULE, DELETE_SET, DELETE_TABLE, IN_TABLE, NEW_CHAIN,
    NEW_ELEMENTS, NEW_GENERATION, NEW_RULE, NEW_SET, NEW_TABLE,
};
use crate::dataplane::{Disturbance, Foreign, Part, Process};
use crate::netlink::{Message, Messages, NFTABLES};

/// `NFTA_GEN_PROC_PID`
const PROCESS: u16 = 2;
/// `NFTA_GEN_PROC_NAME`
const PROCESS_NAME: u16 = 3;

/// What is known of other programs' commits.
#[derive(Debug)]
pub(in super::super) struct Notices {
    /// The family of the table.
    family: u8,
    /// The number of the agent's own socket.
    own: u32,
    /// A commit whose end has not been seen.
    commit: Option<Foreign>,
    /// What has been seen to its end.
    done: Option<Disturbance>,
}

impl Notices {
    pub(in super::super) fn new(family: u8, own: u32) -> Self {
        Self {
            family,
            own,
            commit: None,
            done: None,
        }
    }

    /// Whether there is something to tell.
    pub(in super::super) fn has_some(&self) -> bool {
        self.done.is_some()
    }

    /// Hands over what there is to tell.
    pub(in super::super) fn tell(&mut self) -> Option<Disturbance> {
        self.done.take()
    }

    /// Some notifications were lost, the end of a commit perhaps.
    pub(in super::super) fn overrun(&mut self) {
        let known = self.commit.take().map(Disturbance::Foreign);
        self.add(known.unwrap_or(Disturbance::Overrun));
    }

    /// Takes a datagram. Most notifications are of other tables, and are many: those are hardly looked at.
    pub(in super::super) fn take(&mut self, datagram: &[u8]) {
        for message in Messages(datagram) {
            let [subsystem, kind] = message.kind.to_be_bytes();
            if subsystem != NFTABLES || message.port == self.own {
                continue;
            }
            if kind == NEW_GENERATION {
                if let Some(mut foreign) = self.commit.take() {
                    foreign.process = process(&message);
                    self.add(Disturbance::Foreign(foreign));
                }
            } else if self.is_own_table(&message) {
                let foreign = self.commit.get_or_insert_default();
                foreign.add(part(kind));
                match kind {
                    DELETE_TABLE => foreign.is_gone = true,
                    NEW_TABLE => foreign.is_gone = false,
                    _ => {}
                }
            }
        }
    }

    /// The table's name is the first attribute in all of them.
    fn is_own_table(&self, message: &Message<'_>) -> bool {
        let find_name = || message.attributes().find(|a| a.kind == IN_TABLE);
        message.family() == Some(self.family)
            && find_name()
                .is_some_and(|name| name.value.strip_suffix(&[0]) == Some(TABLE.as_bytes()))
    }

    fn add(&mut self, disturbance: Disturbance) {
        match &mut self.done {
            Some(done) => done.merge(disturbance),
            None => self.done = Some(disturbance),
        }
    }
}

fn part(kind: u8) -> Part {
    match kind {
        NEW_TABLE | DELETE_TABLE => Part::Table,
        NEW_CHAIN | DELETE_CHAIN => Part::Chain,
        NEW_RULE | DELETE_RULE => Part::Rule,
        NEW_SET | DELETE_SET => Part::Set,
        NEW_ELEMENTS | DELETE_ELEMENTS => Part::Element,
        _ => Part::Other,
    }
}

/// Who made a commit.
fn process(message: &Message<'_>) -> Option<Process> {
    let find = |kind| message.attributes().find(|a| a.kind == kind);
    let name = find(PROCESS_NAME)?.value;
    let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name));
    // A process can call itself what it likes, and this goes to a log.
    let printable = |c: char| if c.is_control() { '?' } else { c };
    Some(Process {
        pid: u32::from_be_bytes(*find(PROCESS)?.value.first_chunk()?),
        name: name.chars().map(printable).collect(),
    })
}

#[cfg(test)]
mod tests;
