//! Rules: items of `ingress` and `egress`.

use super::cursor::Cursor;
use super::{peer, port};
use crate::model::{Name, Peers, Ports, Rule};

/// One item of `ingress` (`peers` is `"from"`) or `egress` (`"to"`) of a policy in `namespace`. If it is faulty as a
/// whole it allows nothing; it still takes its place, so that rule numbers stay those of the object.
pub(super) fn rule(item: &Cursor<'_>, peers: &'static str, namespace: Option<&Name>) -> Rule {
    read(item, peers, namespace).unwrap_or(Rule {
        peers: Peers::OneOf(Vec::new()),
        ports: Ports::OneOf(Vec::new()),
    })
}

fn read(item: &Cursor<'_>, peers_field: &'static str, namespace: Option<&Name>) -> Option<Rule> {
    let fields = item.fields(&[peers_field, "ports"])?;
    let peers = match fields.get(peers_field) {
        Some(list) => list.items().map(|items| match items.len() {
            0 => Peers::Any,
            _ => Peers::OneOf(
                items
                    .filter_map(|item| peer::peer(&item, namespace))
                    .collect(),
            ),
        }),
        None => Some(Peers::Any),
    };
    let ports = match fields.get("ports") {
        Some(list) => list.items().map(|items| match items.len() {
            0 => Ports::Any,
            _ => Ports::OneOf(items.filter_map(|item| port::port_match(&item)).collect()),
        }),
        None => Some(Ports::Any),
    };
    if !fields.only_known() {
        return None;
    }
    Some(Rule {
        peers: peers?,
        ports: ports?,
    })
}
