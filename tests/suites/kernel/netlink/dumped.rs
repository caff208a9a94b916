//! What the kernel dumps of a rule is what was sent: a table can be checked without `nft`.

use std::collections::BTreeMap;
use std::io;

use netpol_agent::dataplane::{expressions, same_attributes};
use policy_compiler::model::{PortRange, Protocol};
use policy_compiler::ruleset::{Match, Rule, Transaction, Verdict};

use super::Programmed;
use super::ground::{conditions, ground, in_chains, verdicts};
use super::raw::{RULES, dump};

#[test]
fn rules_are_dumped_as_they_were_sent() {
    let mut rules: Vec<Rule> = conditions()
        .into_iter()
        .map(|condition| Rule::new(vec![condition], Verdict::Accept))
        .collect();
    // A set without a name gets one from the kernel: such a rule is dumped with what was not sent.
    let is_list =
        |rule: &Rule| matches!(&rule.matches[..], [Match::Port(_, ranges)] if ranges.len() > 1);
    rules.retain(|rule| !is_list(rule));
    rules.extend(
        verdicts()
            .into_iter()
            .map(|verdict| Rule::new(vec![], verdict)),
    );
    let ruleset = in_chains(ground(), &rules);
    let mut programmed = Programmed::new("dumped").expect("a namespace");
    let committed = programmed.commit(&Transaction::replace(&ruleset));
    committed.expect("committed");

    let dumped = programmed
        .netns
        .call(expressions_by_chain)
        .expect("a thread");
    let dumped = dumped.expect("a dump");
    assert_eq!(dumped.len(), rules.len());
    for (number, rule) in rules.iter().enumerate() {
        let sent = expressions(rule).expect("short enough");
        let found = &dumped[&format!("row-{number:04}")];
        assert!(
            same_attributes(&sent, found),
            "{rule}\n{sent:02x?}\n{found:02x?}"
        );
    }
    // Rules that differ in anything are told apart.
    for (number, rule) in rules.iter().enumerate() {
        let next = &rules[(number + 1) % rules.len()];
        let sent = expressions(next).expect("short enough");
        let found = &dumped[&format!("row-{number:04}")];
        let is_same = same_attributes(&sent, found);
        assert_eq!(
            is_same,
            sent == expressions(rule).expect("short enough"),
            "{rule} / {next}"
        );
    }
    let port = |port| {
        let ports = PortRange::single(port).into_iter().collect();
        expressions(&Rule::new(
            vec![Match::Port(Protocol::Tcp, ports)],
            Verdict::Accept,
        ))
    };
    assert!(!same_attributes(
        &port(80).expect("short"),
        &port(81).expect("short")
    ));
}

/// The expressions of the one rule of each chain.
fn expressions_by_chain() -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut rules = BTreeMap::new();
    for mut rule in dump(RULES, &[])? {
        let chain = String::from_utf8_lossy(&rule[&2]);
        let chain = chain.trim_end_matches('\0').to_owned();
        rules.insert(chain, rule.remove(&4).unwrap_or_default());
    }
    Ok(rules)
}
