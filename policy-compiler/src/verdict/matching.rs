//! Whether the peers and the ports of one rule match, and why not.

use std::collections::BTreeMap;

use super::Transport;
use super::near_miss::{LabelMiss, NamedPortMiss, PeerMiss, PortMiss};
use super::party::{End, Who};
use crate::model::{
    IpBlock, Labels, Name, Namespace, NamespaceScope, Peer, Peers, Pod, PodPeer, PortMatch,
    PortName, Ports, Protocol, Selector,
};

/// The item that matches, `None` if the list is missing or empty and so matches everybody (semantics rules B2, B4),
/// or the reasons of all items that do not.
pub(super) fn match_peers<'r>(
    peers: &'r Peers,
    end: &End<'_>,
    namespaces: &BTreeMap<Name, Namespace>,
) -> Result<Option<&'r Peer>, Vec<PeerMiss>> {
    let Peers::OneOf(items) = peers else {
        return Ok(None);
    };
    let mut misses = Vec::new();
    for item in items {
        let outcome = match item {
            Peer::Pods(wanted) => match_pods(wanted, end, namespaces),
            Peer::IpBlock(block) => match_block(block, end),
        };
        match outcome {
            Ok(()) => return Ok(Some(item)),
            Err(miss) => misses.push(miss),
        }
    }
    if misses.is_empty() {
        misses.push(PeerMiss::NoValidItem);
    }
    misses.sort_by_key(PeerMiss::distance);
    Err(misses)
}

/// Whether [`match_peers`] finds an item, without the reasons: those cost ten times as much, and rules may be thousands.
pub(super) fn has_peer(
    peers: &Peers,
    end: &End<'_>,
    namespaces: &BTreeMap<Name, Namespace>,
) -> bool {
    let Peers::OneOf(items) = peers else {
        return true;
    };
    items.iter().any(|item| match (item, &end.who) {
        (Peer::IpBlock(block), _) => block.contains(end.address),
        (Peer::Pods(wanted), Who::Pod(pod)) => {
            let namespace = &pod.key.namespace;
            wanted.pods.matches(&pod.labels)
                && match &wanted.namespaces {
                    NamespaceScope::Named(wanted) => namespace == wanted,
                    NamespaceScope::Matching(selector) => namespaces
                        .get(namespace)
                        .is_some_and(|known| selector.matches(&known.labels)),
                }
        }
        (Peer::Pods(_), _) => false,
    })
}

/// Selectors match pods only, and only if it is certain which pod it is (semantics rules B7 and F9).
fn match_pods(
    wanted: &PodPeer,
    end: &End<'_>,
    namespaces: &BTreeMap<Name, Namespace>,
) -> Result<(), PeerMiss> {
    let pod = match &end.who {
        Who::Pod(pod) => pod,
        Who::Contested(_) => return Err(PeerMiss::Contested(end.address)),
        Who::Node(_) | Who::Outside => return Err(PeerMiss::NotAPod(end.address)),
    };
    match_namespace(&wanted.namespaces, pod, namespaces)?;
    match match_labels(&wanted.pods, &pod.labels) {
        None => Ok(()),
        Some(labels) => Err(PeerMiss::PodLabels(pod.key.clone(), labels)),
    }
}

fn match_namespace(
    scope: &NamespaceScope,
    pod: &Pod,
    namespaces: &BTreeMap<Name, Namespace>,
) -> Result<(), PeerMiss> {
    let namespace = &pod.key.namespace;
    match scope {
        NamespaceScope::Named(wanted) if namespace == wanted => Ok(()),
        NamespaceScope::Named(wanted) => Err(PeerMiss::OtherNamespace {
            namespace: namespace.clone(),
            wanted: wanted.clone(),
        }),
        // Labels that are not known cannot satisfy even `{}`: an object that is missing must not open anything.
        NamespaceScope::Matching(selector) => match namespaces.get(namespace) {
            None => Err(PeerMiss::UnknownNamespace(namespace.clone())),
            Some(known) => match match_labels(selector, &known.labels) {
                None => Ok(()),
                Some(labels) => Err(PeerMiss::NamespaceLabels(namespace.clone(), labels)),
            },
        },
    }
}

/// The requirements not met, `None` if all are (semantics rules C1 to C3).
fn match_labels(selector: &Selector, labels: &Labels) -> Option<LabelMiss> {
    let unmet: Vec<_> = selector
        .requirements()
        .iter()
        .filter(|r| !r.matches(labels))
        .cloned()
        .collect();
    if unmet.is_empty() {
        return None;
    }
    let asked = unmet
        .iter()
        .filter_map(|r| labels.get(r.key()).map(|value| (r.key(), value)));
    Some(LabelMiss {
        held: Labels::new(asked),
        unmet: Selector::new(unmet.iter().cloned()),
    })
}

/// Any address in the block matches, a pod's, a node's or a contested one (semantics rules E1, E6 and E7).
fn match_block(block: &IpBlock, end: &End<'_>) -> Result<(), PeerMiss> {
    let address = end.address;
    if block.contains(address) {
        return Ok(());
    }
    let hole = block.except().iter().find(|hole| hole.contains(&address));
    Err(match hole {
        Some(hole) => PeerMiss::Excepted {
            address,
            except: *hole,
            block: block.cidr(),
        },
        None => PeerMiss::OutsideBlock {
            address,
            block: block.cidr(),
        },
    })
}

/// Like [`match_peers`], for ports (semantics rules B3, B4 and D1 to D13).
pub(super) fn match_ports<'r>(
    ports: &'r Ports,
    transport: Transport,
    destination: &End<'_>,
) -> Result<Option<&'r PortMatch>, Vec<PortMiss>> {
    let Ports::OneOf(items) = ports else {
        return Ok(None);
    };
    if items.is_empty() {
        return Err(vec![PortMiss::NoValidItem]);
    }
    let Transport::Port(protocol, number) = transport else {
        return Err(vec![PortMiss::NotListed {
            transport,
            listed: items.clone(),
        }]);
    };
    let mut listed = Vec::new();
    let mut misses = Vec::new();
    for item in items {
        let matches = match item {
            PortMatch::All(wanted) => *wanted == protocol,
            PortMatch::Numbers(wanted, range) => *wanted == protocol && range.contains(number),
            PortMatch::Named(wanted, name) if *wanted == protocol => {
                match match_name(name, protocol, number, destination) {
                    Ok(()) => true,
                    Err(miss) => {
                        misses.push(PortMiss::Named {
                            protocol,
                            name: name.clone(),
                            miss,
                        });
                        continue;
                    }
                }
            }
            PortMatch::Named(..) => false,
        };
        if matches {
            return Ok(Some(item));
        }
        listed.push(item.clone());
    }
    if !listed.is_empty() {
        misses.push(PortMiss::NotListed { transport, listed });
    }
    Err(misses)
}

/// A name means what the destination pod says it means, and nothing on anybody else (semantics rules D6 to D10).
fn match_name(
    name: &PortName,
    protocol: Protocol,
    number: u16,
    destination: &End<'_>,
) -> Result<(), NamedPortMiss> {
    let pod = match &destination.who {
        Who::Pod(pod) => pod,
        Who::Contested(_) => return Err(NamedPortMiss::Contested(destination.address)),
        Who::Node(_) | Who::Outside => return Err(NamedPortMiss::NotAPod(destination.address)),
    };
    let numbers: Vec<u16> = pod.resolve_port(name, protocol).collect();
    if numbers.contains(&number) {
        Ok(())
    } else if numbers.is_empty() {
        Err(NamedPortMiss::NotDefined(pod.key.clone()))
    } else {
        Err(NamedPortMiss::OtherNumbers(pod.key.clone(), numbers))
    }
}
