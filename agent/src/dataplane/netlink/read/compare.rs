//! The table found and the table wanted, object by object.

use policy_compiler::ruleset::{Ident, Operation, Ruleset, Transaction};

use super::super::super::Found;
use super::Image;
use super::differences::Differences;

/// `NFT_TABLE_F_DORMANT`: the table's chains meet no packets.
const DORMANT: u32 = 1;

/// What was found to differ so far.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    pub(super) image: &'a Image,
    /// Those parts of both that differ: what turns one into the other repairs the table and touches nothing else.
    pub(super) found: Ruleset,
    pub(super) wanted: Ruleset,
    /// What rulesets cannot tell.
    pub(super) more: Vec<Operation>,
    /// Something cannot be repaired.
    pub(super) must_replace: bool,
    pub(super) differences: Differences,
}

/// Compares what was found with what is wanted.
pub(in super::super) fn compare(image: &Image, wanted: &Ruleset) -> Found {
    let mut comparison = Comparison {
        image,
        found: Ruleset::default(),
        wanted: Ruleset::default(),
        more: Vec::new(),
        must_replace: false,
        differences: Differences::default(),
    };
    comparison.table();
    comparison.chains(wanted);
    comparison.sets(wanted);
    comparison.maps(wanted);
    comparison.counters(wanted);
    comparison.finish(wanted)
}

impl Comparison<'_> {
    /// Something differs that the table must be replaced for.
    pub(super) fn beyond_repair(&mut self, line: String) {
        self.must_replace = true;
        self.differences.push(line);
    }

    fn table(&mut self) {
        let image = self.image;
        if image.flags & DORMANT != 0 {
            // Making a table that is there wakes it up.
            self.differences
                .push("the table is dormant: none of its rules is in force".to_owned());
        }
        if image.flags & !DORMANT != 0 || image.owner.is_some() {
            let owner = image.owner.unwrap_or_default();
            self.beyond_repair(format!(
                "the table has flags {:#x}; the netlink port {owner} owns it",
                image.flags
            ));
        }
        if image.has_userdata {
            self.beyond_repair("the table has a comment".to_owned());
        }
        for what in &image.foreign {
            self.beyond_repair(format!("{what}: should not be there"));
        }
    }

    fn counters(&mut self, wanted: &Ruleset) {
        let wanted = wanted.counters();
        for name in &wanted {
            if !self.image.counters.contains(name.as_str()) {
                self.differences.push(format!("counter {name}: is missing"));
            }
        }
        for name in &self.image.counters {
            let name = Ident::fixed(name);
            if !wanted.contains(&name) {
                self.differences
                    .push(format!("counter {name}: should not be there"));
                self.more.push(Operation::DeleteCounter(name));
            }
        }
    }

    fn finish(self, wanted: &Ruleset) -> Found {
        if self.differences.is_empty() {
            return Found::Same;
        }
        let repair = if self.must_replace {
            Transaction::replace(wanted)
        } else {
            self.repair()
        };
        Found::Differs {
            repair,
            differences: self.differences.into_lines(),
        }
    }

    fn repair(&self) -> Transaction {
        let between = Transaction::between(&self.found, &self.wanted);
        let counters = &self.image.counters;
        // A chain that differs, or was lost, goes on with the counter it had.
        let is_there = |operation: &Operation| match operation {
            Operation::AddTable => true,
            Operation::AddCounter(name) => counters.contains(name.as_str()),
            _ => false,
        };
        let rest = between.operations().iter().filter(|o| !is_there(o));
        let mut all = vec![Operation::AddTable];
        all.extend(rest.chain(&self.more).cloned());
        all.sort_by_key(rank);
        Transaction::new(all)
    }
}

/// Elements go before those that come in their place, and counters after the rules that count in them.
fn rank(operation: &Operation) -> u8 {
    match operation {
        Operation::AddTable => 0,
        Operation::DeleteElements(..) | Operation::DeleteMapElements(..) => 1,
        Operation::DeleteCounter(_) => 3,
        _ => 2,
    }
}
