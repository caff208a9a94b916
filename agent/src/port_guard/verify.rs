//! The table held against what it should be.

use std::net::IpAddr;

use policy_compiler::model::{NodeScope, Snapshot};
use policy_compiler::ruleset::DropLog;

use super::bindings::{Binding, Bindings, bind, kept};
use super::guard::{Guard, content};
use crate::dataplane::NetlinkError;
use crate::dataplane::netlink::ports::{Content, FoundTable};

/// How the table differs from what it should be for such pods, in words for people. Nothing if it is right, or none is
/// needed. Changes nothing.
pub fn verify(
    snapshot: &Snapshot,
    scope: &NodeScope,
    log: Option<DropLog>,
) -> Result<Vec<String>, NetlinkError> {
    let mut guard = Guard::open(log)?;
    let found = guard.table.read()?;
    let local = snapshot.pods.values().filter(|pod| scope.is_local(pod));
    let pods = local.map(|pod| (&pod.key, &*pod.uid, pod.network_addresses()));
    let owners = super::pods::owners(pods);
    let links = |source| NetlinkError::socket("reading the ports of bridges", source);
    let side = guard.lookout.node_side().map_err(links)?;
    let mut bindings = Bindings::new();
    for (port, address) in found.iter().flat_map(|found| &found.content.bound) {
        let binding = Binding {
            port: *port,
            pod: None,
        };
        bindings.insert(*address, binding);
    }
    bindings = kept(&bindings, &side.ports, &owners);
    let spaces = guard.spaces(&side, &owners);
    bind(&mut bindings, &side.ports, &owners, &spaces);
    let wanted = content(&bindings, &side);
    Ok(match found {
        None if wanted.is_empty() => Vec::new(),
        None => vec![format!(
            "there is no table bridge netpol: {} addresses are bound to no port",
            wanted.bound.len()
        )],
        Some(_) if wanted.is_empty() => {
            vec![
                "table bridge netpol: no pod is bound to a port, so it should not be there"
                    .to_owned(),
            ]
        }
        Some(found) => differences(&found, &wanted),
    })
}

fn differences(found: &FoundTable, wanted: &Content) -> Vec<String> {
    let mut lines = Vec::new();
    if !found.is_right {
        lines.push(
            "table bridge netpol: chains, rules or sets are not as they should be".to_owned(),
        );
    }
    let told = |what: &str, (port, address): &(u32, IpAddr)| {
        format!("table bridge netpol: {address} at port {port} {what}")
    };
    let missing = wanted.bound.difference(&found.content.bound);
    lines.extend(missing.map(|bound| told("is missing", bound)));
    let extra = found.content.bound.difference(&wanted.bound);
    lines.extend(extra.map(|bound| told("is too much", bound)));
    if lines.is_empty() && found.content != *wanted {
        let differs = "table bridge netpol: sets guarded4, guarded6, pods or passages differ";
        lines.push(differs.to_owned());
    }
    lines
}
