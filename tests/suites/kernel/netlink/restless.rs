//! Other tables that are committed to every two milliseconds must not cost the own one its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netpol_agent::dataplane::Found;
use netpol_agent::enforce::RARE_INSPECTION;
use netpol_tests::lab::Netns;
use policy_compiler::ruleset::{Element, Ident, Ruleset, TABLE, Transaction};

use super::edits::table;
use super::large::large;
use super::raw::{Change, commit};
use super::{Programmed, as_json};
use crate::enforced::Node;

/// Between two commits.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What the other table is called, and what comes and goes in it.
pub(super) struct Row {
    pub(super) family: u8,
    pub(super) table: &'static str,
    pub(super) change: Change,
}

const ROWS: [Row; 3] = [
    // As kube-proxy has it.
    Row {
        family: 2,
        table: "kube-proxy",
        change: Change::Chain,
    },
    Row {
        family: 1,
        table: "a-firewall",
        change: Change::Element,
    },
    // Chains of all tables of a family are dumped together, so those that come and go move the others' places.
    Row {
        family: 1,
        table: "a-firewall",
        change: Change::Chain,
    },
];

/// A program that commits to another table until this is dropped.
pub(super) struct Restless {
    is_over: Arc<AtomicBool>,
    commits: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Restless {
    fn start(netns: &Netns, row: &'static Row) -> Self {
        Self::with_pause(netns, row, PAUSE)
    }

    pub(super) fn with_pause(netns: &Netns, row: &'static Row, pause: Duration) -> Self {
        let (is_over, commits) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let (over, count) = (Arc::clone(&is_over), Arc::clone(&commits));
        let work = move || {
            while !over.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let is_there = number % 2 == 1;
                let committed = commit(row.family, row.table, row.change, is_there);
                // What is done to the own table may be undone by then.
                assert!(committed.is_ok() || row.table == TABLE, "{committed:?}");
                std::thread::sleep(pause);
            }
        };
        // A thread is in the namespace of the one that starts it.
        let thread = netns
            .call(move || std::thread::spawn(work))
            .expect("a thread");
        let restless = Self {
            is_over,
            commits,
            thread: Some(thread),
        };
        restless.go_on(2);
        restless
    }

    /// Waits until so many more are done.
    fn go_on(&self, more: u32) {
        let (end, start) = (self.commits() + more, Instant::now());
        while self.commits() < end {
            assert!(start.elapsed() < PATIENCE, "nobody commits");
            std::thread::yield_now();
        }
    }

    fn commits(&self) -> u32 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The other table, before the own one and with what comes and goes in it not there.
fn other(netns: &Netns, row: &Row) {
    let family = if row.family == 1 { "inet" } else { "ip" };
    let of = format!("{family} {}", row.table);
    let script =
        format!("add table {of}\nadd chain {of} stays\nadd set {of} s {{ type ipv4_addr; }}\n");
    netns.nft(&script).expect("another table");
}

fn handle(netns: &Netns) -> String {
    let listing = netns.run(&["nft", "-a", "list", "tables"], "");
    let listing = listing.expect("a listing");
    let line = listing.lines().find(|line| line.contains("netpol"));
    line.expect("the table").to_owned()
}

fn is_read_and_repaired(row: &'static Row, name: &Ident, wanted: &Ruleset, readings: u32) {
    let mut lost = wanted.clone();
    let set = lost.sets.get_mut(name).expect("a set");
    let gone = *set.elements.first().expect("an element");
    set.elements.remove(&gone);
    let Element::Address(gone) = gone else {
        panic!("{gone:?}");
    };
    let mut programmed = Programmed::new("restless").expect("a namespace");
    other(&programmed.netns, row);
    let loaded = programmed.commit(&Transaction::replace(&lost));
    loaded.expect("loaded");
    let before = handle(&programmed.netns);
    let restless = Restless::start(&programmed.netns, row);
    let started = Instant::now();
    let differs = programmed.read(wanted);
    let took = started.elapsed();
    let Ok(Found::Differs {
        repair,
        differences,
    }) = differs
    else {
        panic!("{}: {differs:?}", row.table);
    };
    assert_eq!(differences, [format!("set {name}: {gone} is missing")]);
    let repaired = programmed.repair(&repair);
    repaired.expect("repaired");
    for _ in 0..readings {
        assert_eq!(programmed.read(wanted).expect("read"), Found::Same);
    }
    println!(
        "{} ({:?}): read within {took:?} and all done after {:?}, with {} commits between",
        row.table,
        row.change,
        started.elapsed(),
        restless.commits()
    );
    // `nft` would begin again and again.
    drop(restless);
    assert_eq!(handle(&programmed.netns), before);
}

#[test]
fn a_small_table_is_read_and_repaired_all_the_same() {
    for row in &ROWS {
        is_read_and_repaired(row, &Ident::fixed("peers"), &table(), 300);
    }
}

#[test]
fn a_large_table_is_read_and_repaired_all_the_same() {
    for row in &ROWS {
        is_read_and_repaired(row, &Ident::fixed("set-3"), &large(), 1);
    }
}

#[test]
fn a_start_takes_the_table_over_all_the_same() {
    for row in &ROWS {
        let netns = Netns::new("start").expect("a namespace");
        other(&netns, row);
        let netns = Node::within(netns, None, RARE_INSPECTION).netns;
        let before = (handle(&netns), as_json(&netns).expect("a listing"));
        netns.nft("flush map inet netpol ingress4").expect("edited");
        let restless = Restless::start(&netns, row);
        let netns = Node::within(netns, None, RARE_INSPECTION).netns;
        drop(restless);
        let listing = as_json(&netns).expect("a listing").into_iter();
        let after = listing.filter(|line| !line.contains("\"comes\""));
        let after = after.map(|line| line.replace("\"elem\":[\"192.0.2.1\"],", ""));
        assert_eq!((handle(&netns), after.collect()), before, "{}", row.table);
    }
}
