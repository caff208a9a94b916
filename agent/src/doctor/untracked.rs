//! Rules that keep packets from connection tracking, and what follows from them.

use std::collections::BTreeSet;

use super::Finding;
use crate::netlink::{Attribute, Attributes};

// Of a list, of an expression, of `immediate` and of a verdict.
const NAME: u16 = 1;
const DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const VERDICT: u16 = 2;
const CHAIN: u16 = 2;

// Of an extension of iptables.
const TARGET_NAME: u16 = 1;
const TARGET_INFO: u16 = 3;
/// `XT_CT_NOTRACK`
const NOTRACK: u16 = 1;

/// What an expression of a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked<'a> {
    Untracks,
    LeadsTo(&'a str),
}

/// Looks through the expressions of a rule.
pub(super) fn look(expressions: &[u8]) -> impl Iterator<Item = Looked<'_>> {
    Attributes(expressions).filter_map(|item| {
        let name = part(item.value, NAME)?.text()?;
        let data = || part(item.value, DATA).map(|data| data.value);
        match name {
            "notrack" => Some(Looked::Untracks),
            "target" => is_notrack(data()?).then_some(Looked::Untracks),
            "immediate" => {
                let value = part(data()?, IMMEDIATE_DATA)?.value;
                let verdict = part(value, VERDICT)?.value;
                Some(Looked::LeadsTo(part(verdict, CHAIN)?.text()?))
            }
            _ => None,
        }
    })
}

/// `-j CT --notrack`, and `-j NOTRACK`.
fn is_notrack(target: &[u8]) -> bool {
    let flags = || {
        let info = part(target, TARGET_INFO)?;
        Some(u16::from_ne_bytes(*info.value.first_chunk()?))
    };
    match part(target, TARGET_NAME).and_then(|name| name.text()) {
        Some("NOTRACK") => true,
        Some("CT") => flags().is_some_and(|flags| flags & NOTRACK != 0),
        _ => false,
    }
}

fn part(attributes: &[u8], kind: u16) -> Option<Attribute<'_>> {
    Attributes(attributes).find(|attribute| attribute.kind == kind)
}

/// What chains with such rules, and flowtables, amount to.
pub(super) fn judge(untracking: &BTreeSet<String>, flow_tables: &BTreeSet<String>) -> Vec<Finding> {
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut findings = Vec::new();
    if !untracking.is_empty() {
        findings.push(Finding::warning(
            "untracked",
            format!(
                "rules keep packets from connection tracking (in {}): replies to isolated pods among them are judged \
                 as if they began a connection, and mostly dropped",
                list(untracking)
            ),
            "see that they are about the node's own traffic only, as NodeLocal DNSCache's are, and not about pods",
        ));
    }
    if !flow_tables.is_empty() {
        findings.push(Finding::warning(
            "offload",
            format!(
                "there are flowtables ({}): packets of connections that exist go past the hooks. New connections are \
                 judged all the same",
                list(flow_tables)
            ),
            "nothing: one that is to be cut is deleted, which takes it out of the flowtable",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::netlink::{Writer, written};

    fn rule(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        written(write).expect("short")
    }

    fn expression(name: &str, data: impl FnOnce(&mut Writer)) -> Vec<u8> {
        rule(|w| {
            w.nest(1, |w| {
                w.text(NAME, name);
                w.nest(DATA, data);
            });
        })
    }

    #[test]
    fn rules_that_untrack_are_known() {
        let target = |name: &'static str, flags: u16| {
            expression("target", move |w| {
                w.text(TARGET_NAME, name);
                w.be32(2, 2);
                w.put(TARGET_INFO, &[&flags.to_ne_bytes()[..], &[0; 30]].concat());
            })
        };
        let jump = expression("immediate", |w| {
            w.be32(1, 0);
            w.nest(IMMEDIATE_DATA, |w| {
                w.nest(VERDICT, |w| {
                    w.be32(1, 0);
                    w.text(CHAIN, "there");
                });
            });
        });
        let both = [
            &expression("counter", |_| {})[..],
            &expression("notrack", |_| {}),
        ]
        .concat();
        let rows = [
            (expression("notrack", |_| {}), Some(Looked::Untracks)),
            (both, Some(Looked::Untracks)),
            (target("CT", 1), Some(Looked::Untracks)),
            (target("CT", 0), None),
            (target("NOTRACK", 0), Some(Looked::Untracks)),
            (target("MARK", 1), None),
            (expression("target", |_| {}), None),
            (jump, Some(Looked::LeadsTo("there"))),
            (expression("immediate", |_| {}), None),
            (vec![1, 2, 3], None),
        ];
        for (bytes, expected) in rows {
            assert_eq!(look(&bytes).next(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        let none = BTreeSet::new();
        let some = BTreeSet::from(["raw/PREROUTING".to_owned()]);
        assert!(judge(&none, &none).is_empty());
        for (findings, check) in [
            (judge(&some, &none), "untracked"),
            (judge(&none, &some), "offload"),
        ] {
            let [finding] = findings.as_slice() else {
                panic!("{findings:?}")
            };
            assert_eq!((finding.check, finding.level), (check, Level::Warning));
            assert!(finding.found.contains("raw/PREROUTING"), "{finding}");
        }
    }
}
