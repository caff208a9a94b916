//! A table that changes while it is read is found as it was at one moment.

use std::sync::mpsc::TryRecvError;

use netpol_agent::dataplane::{Found, NetlinkError};
use policy_compiler::ruleset::Transaction;

use super::Programmed;
use super::edits::table;

/// Commits of another program that each change two sets at once.
const COMMITS: usize = 300;

#[test]
fn nothing_is_found_half_changed() {
    let wanted = table();
    let mut programmed = Programmed::new("torn").expect("a namespace");
    let loaded = programmed.commit(&Transaction::replace(&wanted));
    loaded.expect("loaded");
    let away = "delete element inet netpol peers { 10.1.0.1 }\n\
                delete element inet netpol goes { 10.0.0.1 }\n";
    let back = "add element inet netpol peers { 10.1.0.1 }\n\
                add element inet netpol goes { 10.0.0.1 : goto pod }\n";
    let script: Vec<String> = (0..COMMITS)
        .map(|number| {
            let part = if number % 2 == 0 { away } else { back };
            format!("nft -f - <<'end'\n{part}end\n")
        })
        .collect();
    let commits = programmed.netns.run_later(&["sh", "-e"], &script.concat());
    let (mut same, mut changed) = (0, 0);
    let outcome = loop {
        match programmed.read(&wanted) {
            Ok(Found::Same) => same += 1,
            Ok(Found::Differs { differences, .. }) => {
                changed += 1;
                assert_eq!(
                    differences,
                    [
                        "set peers: 10.1.0.1 is missing",
                        "map goes: 10.0.0.1 is missing"
                    ]
                );
            }
            Err(NetlinkError::Restless { .. }) => {}
            other => panic!("{other:?}"),
        }
        match commits.try_recv() {
            Ok(outcome) => break outcome,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => panic!("nobody commits"),
        }
    };
    outcome.expect("committed");
    assert!(same > 10 && changed > 10, "{same} and {changed}");
    assert_eq!(programmed.read(&wanted).expect("read"), Found::Same);
}
