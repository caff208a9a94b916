//! Others take the table away, cling to it, and edit it unheard.

use std::fmt::Write;
use std::time::{Duration, Instant};

use netpol_agent::dataplane::{Found, NOTICES};
use netpol_agent::enforce::RARE_INSPECTION;
use netpol_agent::source::Update;
use policy_compiler::index::Event;

use super::{Node, PATIENCE};
use crate::netlink::raw;
use crate::steady;

/// What is to go is still referred to: the change is refused, and then the table is put right together with it.
#[test]
fn what_others_cling_to_is_taken_from_them() {
    for what in ["set", "chain"] {
        let mut node = Node::new("busy", None, RARE_INSPECTION);
        let rule = match what {
            "set" => format!("ip saddr @{} accept", node.set()),
            _ => "jump policy/shop/allow/ingress".to_owned(),
        };
        node.nft(&format!(
            "add chain inet netpol mine\nadd rule inet netpol mine {rule}\n"
        ));
        assert_eq!(node.failures(), 0);
        let key = "shop/allow".parse().expect("a key");
        node.say(Update::Change(Event::PolicyDeleted(key)));
        node.say(steady::edit(1));
        node.run_until("refused", |node| node.failures() > 0);
        node.becomes_right();
        assert_eq!(node.failures(), 1, "{what}");
        // What comes later goes as ever.
        node.say(steady::edit(0));
        node.becomes_right();
        assert_eq!(node.failures(), 1, "{what}");
    }
}

/// Whenever it goes: while a change is made, while it is read, and while it is made anew.
#[test]
fn a_table_that_goes_again_and_again() {
    const EDITS: u64 = 200;
    const DELETIONS: u64 = 50;
    let mut node = Node::new("raced", Some(NOTICES), RARE_INSPECTION);
    let work = move || {
        let mut deleted = 0;
        while deleted < DELETIONS {
            // It may not be there just now.
            deleted += u64::from(raw::delete_table().is_ok());
            std::thread::sleep(Duration::from_millis(3));
        }
    };
    // A thread is in the namespace of the one that starts it.
    let thread = node
        .netns
        .call(move || std::thread::spawn(work))
        .expect("a thread");
    let (mut edits, start) = (0, Instant::now());
    while edits < EDITS || !thread.is_finished() {
        assert!(start.elapsed() < PATIENCE, "the table does not come back");
        node.say(steady::edit(edits));
        node.run(Duration::from_millis(2));
        edits += 1;
    }
    thread.join().expect("deleted");
    node.becomes_right();
    let (failed, repaired) = (node.failures(), node.repairs("table"));
    println!(
        "{edits} changes, {DELETIONS} deletions: {failed} refused, {repaired} times put right"
    );
    assert!(repaired > 0);
    node.say(steady::edit(edits));
    node.becomes_right();
}

/// What was told got lost for want of room.
#[test]
fn an_overrun_ends_in_a_right_table() {
    let mut node = Node::new("overrun", Some(4096), RARE_INSPECTION);
    let mut script = "add table inet other\nadd set inet other s { type ipv4_addr; }\n".to_owned();
    for i in 0..10_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + i);
        let _ = writeln!(script, "add element inet other s {{ {address} }}");
    }
    let set = node.set();
    let _ = writeln!(
        script,
        "flush map inet netpol ingress4\nflush set inet netpol {set}"
    );
    node.nft(&script);
    assert_ne!(node.found(), Found::Same);
    node.say(steady::edit(2));
    node.becomes_right();
    let told = ["table", "chain", "rule", "set", "element", "other"].map(|kind| node.repairs(kind));
    assert_eq!(told, [0; 6], "it was told");
}

/// Nobody watches, but now and then the table is compared.
#[test]
fn what_nobody_told_is_found() {
    let mut node = Node::new("compared", None, Duration::from_millis(50));
    let set = node.set();
    for (kind, edit) in [
        (
            "rule",
            "flush chain inet netpol policy/shop/allow/ingress".to_owned(),
        ),
        ("element", format!("flush set inet netpol {set}")),
        ("chain", "add chain inet netpol mine".to_owned()),
        (
            "table",
            "add table inet netpol { flags dormant; }".to_owned(),
        ),
    ] {
        assert_eq!(node.repairs(kind), 0);
        node.nft(&edit);
        node.run_until(&edit, |node| node.repairs(kind) == 1);
        node.becomes_right();
    }
    assert_eq!(node.failures(), 0);
}
