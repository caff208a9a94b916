//! Which address is whose: a pure function of what is found behind the ports, the pods of the node, and what was bound before.
//!
//! * A binding stays as long as its port and its pod do, whatever else is configured anywhere.
//! * A network namespace is one pod's. Who has an address bound there already gets no address of another pod.
//! * Where several namespaces have an address, it goes to the one that can be no other pod's; then to the one where it was
//!   configured first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_compiler::ruleset::PodId;

use super::ports::{Configured, Port};

/// Pods of the node, by their addresses.
pub(crate) type Owners = BTreeMap<IpAddr, PodId>;

/// Where an address may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The number of the port.
    pub(crate) port: u32,
    /// Whose it is; not known of what an earlier agent has left, until it is known whose address it is now.
    pub(crate) pod: Option<PodId>,
}

/// Bound addresses.
pub(crate) type Bindings = BTreeMap<IpAddr, Binding>;

/// What is configured in the network namespaces that were looked into, by their numbers.
pub(crate) type Spaces = BTreeMap<u32, Vec<Configured>>;

/// An address that is configured where it does not belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conflict {
    /// A port by which it could come.
    pub(crate) port: u32,
    pub(crate) address: IpAddr,
}

/// What stays bound: the port is there, and the address is still the same pod's.
pub(crate) fn kept(before: &Bindings, ports: &[Port], pods: &Owners) -> Bindings {
    let numbers: BTreeSet<u32> = ports.iter().map(|port| port.index).collect();
    let stays = |(address, binding): (&IpAddr, &Binding)| {
        let pod = *pods.get(address)?;
        let is_same = binding.pod.is_none_or(|bound| bound == pod);
        let port = binding.port;
        let is_there = numbers.contains(&port);
        (is_same && is_there).then_some((
            *address,
            Binding {
                port,
                pod: Some(pod),
            },
        ))
    };
    before.iter().filter_map(stays).collect()
}

/// Whose the network namespaces are.
fn homes(bindings: &Bindings, ports: &[Port]) -> BTreeMap<u32, PodId> {
    let space = |number| ports.iter().find(|port| port.index == number);
    let homes = bindings.values();
    homes
        .filter_map(|binding| Some((space(binding.port)?.space, binding.pod?)))
        .collect()
}

/// The network namespaces that have to be looked into: those that are nobody's yet, and those of pods that are not wholly
/// bound.
pub(crate) fn unknown(bindings: &Bindings, ports: &[Port], pods: &Owners) -> BTreeSet<u32> {
    let homes = homes(bindings, ports);
    let unbound = pods
        .iter()
        .filter(|(address, _)| !bindings.contains_key(address));
    let partly: BTreeSet<PodId> = unbound.map(|(_, pod)| *pod).collect();
    if partly.is_empty() {
        return BTreeSet::new();
    }
    let spaces = ports.iter().map(|port| port.space);
    spaces
        .filter(|space| homes.get(space).is_none_or(|pod| partly.contains(pod)))
        .collect()
}

/// Binds what is not bound yet, and says what is configured where it does not belong.
pub(crate) fn bind(
    bindings: &mut Bindings,
    ports: &[Port],
    pods: &Owners,
    spaces: &Spaces,
) -> BTreeSet<Conflict> {
    let mut homes = homes(bindings, ports);
    settle(&mut homes, bindings, pods, spaces);
    let mut conflicts = BTreeSet::new();
    for (space, configured) in spaces {
        let here = || ports.iter().filter(|port| port.space == *space);
        let Some(first) = here().map(|port| port.index).min() else {
            continue;
        };
        for (link, address) in configured {
            let Some(pod) = pods.get(address) else {
                continue;
            };
            if homes.get(space) == Some(pod) {
                // A pod may have several links; the address is one's.
                let own = here().find(|port| port.other == *link);
                let port = own.map_or(first, |port| port.index);
                bindings.entry(*address).or_insert(Binding {
                    port,
                    pod: Some(*pod),
                });
            } else {
                conflicts.insert(Conflict {
                    port: first,
                    address: *address,
                });
            }
        }
    }
    conflicts
}

/// Finds out whose the namespaces are that are nobody's yet.
fn settle(homes: &mut BTreeMap<u32, PodId>, bindings: &Bindings, pods: &Owners, spaces: &Spaces) {
    let mut settled: BTreeSet<PodId> = homes.values().copied().collect();
    // Which pod's address is where, and the how-manieth there.
    let mut claims: BTreeMap<(u32, PodId), usize> = BTreeMap::new();
    for (space, configured) in spaces
        .iter()
        .filter(|(space, _)| !homes.contains_key(space))
    {
        for (place, (_, address)) in configured.iter().enumerate() {
            let pod = pods
                .get(address)
                .filter(|_| !bindings.contains_key(address));
            if let Some(pod) = pod.filter(|pod| !settled.contains(pod)) {
                claims.entry((*space, *pod)).or_insert(place);
            }
        }
    }
    while !claims.is_empty() {
        let mut choices: BTreeMap<PodId, usize> = BTreeMap::new();
        claims
            .keys()
            .for_each(|(_, pod)| *choices.entry(*pod).or_default() += 1);
        // Who has no choice comes before who has one.
        let rank =
            |((space, pod), place): (&(u32, PodId), &usize)| (choices[pod], *place, *space, *pod);
        let Some((.., space, pod)) = claims.iter().map(rank).min() else {
            return;
        };
        homes.insert(space, pod);
        settled.insert(pod);
        claims.retain(|(other, of), _| *other != space && *of != pod);
    }
}

#[cfg(test)]
mod tests;
