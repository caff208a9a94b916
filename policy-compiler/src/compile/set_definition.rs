//! The named sets that policies' rules refer to, by what they hold.

use std::fmt::Write;
use std::net::IpAddr;

use super::address_ranges::AddressRanges;
use crate::model::{
    Direction, Name, Namespace, NamespaceScope, Operator, Pod, PodPeer, PortName, Protocol,
    Selector,
};
use crate::ruleset::{Comment, Element, Family, Ident, SetKey};

/// What belongs into a named set. The name follows from the content, so policies that say the same share a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetDefinition {
    name: Ident,
    family: Family,
    content: SetContent,
}

/// See [`SetDefinition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetContent {
    /// The addresses of the pods a peer selects.
    Peers(PodPeer),
    /// For each local pod that names such a port: its address and the port's number.
    IngressPort(Protocol, PortName),
    /// For each pod anywhere that names such a port: its address and the port's number (semantics rule D7).
    EgressPort(Protocol, PortName),
    /// The addresses of ipBlocks.
    Blocks(Vec<Element>),
}

impl SetDefinition {
    /// The set of the addresses of the pods that `peer` selects.
    pub(crate) fn peers(peer: PodPeer, family: Family) -> Self {
        Self {
            name: Ident::from_content("peers", &peer_identity(&peer), family.digit()),
            family,
            content: SetContent::Peers(peer),
        }
    }

    /// The set of what a port name means in each pod it may be judged for: for ingress those on this node, for
    /// egress all of them.
    pub(crate) fn named_port(
        direction: Direction,
        protocol: Protocol,
        port: &PortName,
        family: Family,
    ) -> Self {
        let name = Ident::fixed(&format!(
            "{direction}-{}-{port}-{}",
            protocol.as_nft(),
            family.digit()
        ));
        let content = match direction {
            Direction::Ingress => SetContent::IngressPort(protocol, port.clone()),
            Direction::Egress => SetContent::EgressPort(protocol, port.clone()),
        };
        Self {
            name,
            family,
            content,
        }
    }

    /// The set of the addresses in `ranges`.
    pub(super) fn blocks(ranges: &AddressRanges, family: Family) -> Self {
        let elements: Vec<Element> = ranges
            .iter()
            .map(|(first, last)| Element::Range(first, last))
            .collect();
        let identity = elements
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ");
        let name = Ident::from_content("blocks", &identity, family.digit());
        Self {
            name,
            family,
            content: SetContent::Blocks(elements),
        }
    }

    /// The set's name.
    pub(crate) fn name(&self) -> &Ident {
        &self.name
    }

    /// What it holds.
    pub(crate) fn content(&self) -> &SetContent {
        &self.content
    }

    /// Its nft type.
    pub(crate) fn key(&self) -> SetKey {
        match self.content {
            SetContent::Peers(_) => SetKey::Address(self.family),
            SetContent::IngressPort(..) | SetContent::EgressPort(..) => {
                SetKey::AddressPort(self.family)
            }
            SetContent::Blocks(_) => SetKey::Range(self.family),
        }
    }

    /// What it holds, for people.
    pub(crate) fn comment(&self) -> Comment {
        Comment::new(&match &self.content {
            SetContent::Peers(peer) => peer.to_string(),
            SetContent::IngressPort(protocol, port) => {
                format!("{protocol} port {port} of each pod of this node")
            }
            SetContent::EgressPort(protocol, port) => format!("{protocol} port {port} of each pod"),
            SetContent::Blocks(ranges) => format!("ipBlocks in {} ranges", ranges.len()),
        })
    }

    /// The elements that do not depend on pods.
    pub(crate) fn constant(&self) -> Vec<Element> {
        match &self.content {
            SetContent::Blocks(ranges) => ranges.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether pods of a namespace can be in the set. A namespace whose object is not known has no labels that could
    /// be trusted: no `namespaceSelector` matches it.
    pub(crate) fn covers(&self, name: &Name, namespace: Option<&Namespace>) -> bool {
        match &self.content {
            SetContent::Peers(PodPeer {
                namespaces: NamespaceScope::Named(own),
                ..
            }) => own == name,
            SetContent::Peers(PodPeer {
                namespaces: NamespaceScope::Matching(selector),
                ..
            }) => namespace.is_some_and(|namespace| selector.matches(&namespace.labels)),
            SetContent::IngressPort(..) | SetContent::EgressPort(..) => true,
            SetContent::Blocks(_) => false,
        }
    }

    /// Gives `add` the elements that an address brings which is `pod`'s alone. `pod`'s namespace is covered; `local` says
    /// whether it runs on this node.
    pub(crate) fn elements_of(
        &self,
        pod: &Pod,
        address: IpAddr,
        local: bool,
        mut add: impl FnMut(Element),
    ) {
        if Family::of(address) != self.family {
            return;
        }
        match &self.content {
            SetContent::Peers(peer) => {
                if peer.pods.matches(&pod.labels) {
                    add(Element::Address(address));
                }
            }
            SetContent::IngressPort(protocol, port) => {
                if local {
                    pod.resolve_port(port, *protocol)
                        .for_each(|number| add(Element::AddressPort(address, number)));
                }
            }
            SetContent::EgressPort(protocol, port) => {
                pod.resolve_port(port, *protocol)
                    .for_each(|number| add(Element::AddressPort(address, number)));
            }
            SetContent::Blocks(_) => {}
        }
    }
}

/// A text that two peers share only if they are equal: every string is preceded by its length.
fn peer_identity(peer: &PodPeer) -> String {
    let mut identity = String::new();
    match &peer.namespaces {
        NamespaceScope::Named(name) => push(&mut identity, 'n', name.as_str()),
        NamespaceScope::Matching(selector) => push_selector(&mut identity, 'm', selector),
    }
    push_selector(&mut identity, 'p', &peer.pods);
    identity
}

fn push_selector(identity: &mut String, tag: char, selector: &Selector) {
    identity.push(tag);
    for requirement in selector.requirements() {
        let operator = match requirement.operator() {
            Operator::In => 'i',
            Operator::NotIn => 'x',
            Operator::Exists => 'e',
            Operator::DoesNotExist => 'd',
        };
        push(identity, operator, requirement.key());
        requirement
            .values()
            .for_each(|value| push(identity, 'v', value));
    }
}

fn push(identity: &mut String, tag: char, text: &str) {
    // Writing to a String cannot fail.
    let _ = write!(identity, "{tag}{}:{text}", text.len());
}
