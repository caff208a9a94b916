//! Whether pods may send with addresses that are not theirs: what of their attachment is guarded.

use std::io;

use policy_compiler::ruleset::{DropLog, TABLE};

use super::Finding;
use super::attachment::{Attachment, is_other_engines};
use super::links::Link;
use crate::dataplane::netlink::numbers::{GET_CHAINS, IN_TABLE, NEW_CHAIN};
use crate::dataplane::netlink::ports::{Content, PortTable, forged};
use crate::netlink::{Channel, DUMP, Header, NFTABLES, Writer, kind};

const CHECK: &str = "source-guard";

/// The chain that checks what comes by routed links, and where in a message about chains its name is.
const CHAIN: &str = "source-guard";
const CHAIN_NAME: u16 = 3;

/// What the table of bridges' ports holds, where an agent guards at all.
pub(super) fn read() -> Option<Content> {
    if !is_on().unwrap_or(false) {
        return None;
    }
    let table = PortTable::open(Some(DropLog::default())).ok();
    let found = table.and_then(|mut table| table.read().ok().flatten());
    Some(found.map(|found| found.content).unwrap_or_default())
}

/// Whether there is a table of bridges' ports.
pub(super) fn has_table() -> bool {
    let counted = Channel::open(DUMP).and_then(|mut channel| forged(&mut channel));
    counted.is_ok_and(|counted| counted.is_some())
}

/// Whether table `inet netpol` checks sources.
fn is_on() -> io::Result<bool> {
    let mut is_there = false;
    let which = |w: &mut Writer| {
        w.text(IN_TABLE, TABLE);
        w.text(CHAIN_NAME, CHAIN);
    };
    Channel::open(DUMP)?.ask(Header::nftables(GET_CHAINS), which, |message| {
        is_there |= message.kind == kind(NFTABLES, NEW_CHAIN);
    })?;
    Ok(is_there)
}

/// What the links and the table amount to.
pub(super) fn judge(attachment: &Attachment<'_>, links: &[Link], held: &Content) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (bridge, count) in &attachment.bridges {
        let name = &bridge.name;
        if bridge.kind != "bridge" {
            let found =
                format!("the addresses that pods of switch {name} send with are not checked");
            findings.push(Finding::warning(CHECK, found, ELSEWHERE).about(name));
            continue;
        }
        let is_bound =
            |link: &&Link| link.master == Some(bridge.index) && held.pods.contains(&link.index);
        let guarded = links.iter().filter(is_bound).count();
        let found = format!(
            "{guarded} of {count} ports of bridge {name} are bound to the addresses of their pods"
        );
        // Containers that are no pods are nobody's business here.
        findings.push(if guarded > 0 || is_other_engines(name) {
            Finding::ok(CHECK, found).about(name)
        } else {
            Finding::warning(CHECK, found, UNBOUND).about(name)
        });
    }
    if !attachment.routed.is_empty() {
        let count = attachment.routed.len();
        let found =
            format!("what comes by {count} routed links is checked by the way back to its source");
        findings.push(Finding::ok(CHECK, found));
    }
    findings
}

const UNBOUND: &str = "pods of this bridge may use each other's addresses: if they are pods, is --source-guard on, and does \
                       the agent's log say why no port is bound?";
const ELSEWHERE: &str =
    "have the switch check them (port security), or attach pods by a bridge or routed links";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn link(index: u32, kind: &str, name: &str, master: Option<u32>) -> Link {
        Link {
            index,
            name: name.to_owned(),
            kind: kind.to_owned(),
            master,
            leads_elsewhere: kind == "veth",
            ..Link::default()
        }
    }

    #[test]
    fn what_is_guarded_is_told_by_attachment() {
        let links = [
            link(1, "bridge", "cni0", None),
            link(2, "veth", "veth2", Some(1)),
            link(3, "veth", "veth3", Some(1)),
            link(4, "veth", "cali4", None),
            link(5, "openvswitch", "ovs0", None),
            link(6, "veth", "veth6", Some(5)),
        ];
        let told = |bound: &[u32]| {
            let held = Content {
                pods: bound.iter().copied().collect(),
                ..Content::default()
            };
            let findings = judge(&Attachment::of(&links), &links, &held);
            let told = findings.iter().map(|f| (f.level, f.found.clone()));
            told.collect::<Vec<_>>()
        };
        let none = told(&[]);
        assert_eq!(none[0].0, Level::Warning);
        assert!(
            none[0].1.starts_with("0 of 2 ports of bridge cni0"),
            "{none:?}"
        );
        assert!(none[1].1.contains("switch ovs0"), "{none:?}");
        assert!(none[2].1.contains("1 routed"), "{none:?}");
        let one = told(&[2, 4]);
        assert_eq!(one[0].0, Level::Ok);
        assert!(one[0].1.starts_with("1 of 2"), "{one:?}");
    }
}
