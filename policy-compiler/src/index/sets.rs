//! The sets in use and what is in them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::world::World;
use crate::compile::{SetContent, SetDefinition};
use crate::model::{Name, Namespace, NamespaceScope, Pod};
use crate::ruleset::{Draft, Element, Ident, Set};

/// The sets that chains refer to.
#[derive(Debug, Default)]
pub(super) struct Sets {
    in_use: BTreeMap<Ident, InUse>,
    /// For namespaces that were asked about: the sets that cover them. Emptied when sets come or go.
    covering: HashMap<Name, Arc<[Arc<SetDefinition>]>>,
}

#[derive(Debug)]
struct InUse {
    definition: Arc<SetDefinition>,
    /// How many chains refer to it.
    references: usize,
}

impl Sets {
    /// Counts one more reference; the first makes the set and fills it.
    pub(super) fn acquire(&mut self, definition: SetDefinition, world: &World, draft: &mut Draft) {
        if let Some(known) = self.in_use.get_mut(definition.name()) {
            known.references += 1;
            return;
        }
        let mut elements = definition.constant();
        let mut fill = |pod: &Pod| {
            for address in world.claims().sole_addresses(pod) {
                definition.elements_of(pod, address, world.is_local(pod), |e| elements.push(e));
            }
        };
        match definition.content() {
            SetContent::Peers(peer) => match &peer.namespaces {
                NamespaceScope::Named(namespace) => world.pods_of(namespace).for_each(&mut fill),
                NamespaceScope::Matching(selector) => {
                    let namespaces = world.snapshot().namespaces.values();
                    for namespace in
                        namespaces.filter(|namespace| selector.matches(&namespace.labels))
                    {
                        world.pods_of(&namespace.name).for_each(&mut fill);
                    }
                }
            },
            SetContent::IngressPort(..) => world.local_pods().for_each(&mut fill),
            SetContent::EgressPort(..) => world.pods().for_each(&mut fill),
            SetContent::Blocks(_) => {}
        }
        let set = Set {
            key: definition.key(),
            comment: definition.comment(),
            elements: elements.into_iter().collect(),
        };
        draft.add_set(definition.name(), set);
        let name = definition.name().clone();
        self.in_use.insert(
            name,
            InUse {
                definition: Arc::new(definition),
                references: 1,
            },
        );
        self.covering.clear();
    }

    /// Counts one reference less; the last removes the set.
    pub(super) fn release(&mut self, name: &Ident, draft: &mut Draft) {
        let Some(known) = self.in_use.get_mut(name) else {
            return;
        };
        known.references -= 1;
        if known.references == 0 {
            self.in_use.remove(name);
            self.covering.clear();
            draft.remove_set(name);
        }
    }

    /// Takes out of all sets what an address's owner brings.
    pub(super) fn retract(&mut self, address: IpAddr, world: &World, draft: &mut Draft) {
        self.for_each_element(address, world, |set, element| {
            draft.remove_element(set, &element);
        });
    }

    /// Puts into all sets what an address's owner brings. An address of several pods brings nothing.
    pub(super) fn assert(&mut self, address: IpAddr, world: &World, draft: &mut Draft) {
        self.for_each_element(address, world, |set, element| {
            draft.insert_element(set, element);
        });
    }

    fn for_each_element(
        &mut self,
        address: IpAddr,
        world: &World,
        mut edit: impl FnMut(&Ident, Element),
    ) {
        let Some(pod) = world.sole_owner(address) else {
            return;
        };
        let local = world.is_local(pod);
        for definition in self.covering(&pod.key.namespace, world).iter() {
            definition.elements_of(pod, address, local, |element| {
                edit(definition.name(), element);
            });
        }
    }

    fn covering(&mut self, namespace: &Name, world: &World) -> Arc<[Arc<SetDefinition>]> {
        if let Some(known) = self.covering.get(namespace) {
            return known.clone();
        }
        let object = world.snapshot().namespaces.get(namespace);
        let definitions = self.in_use.values().map(|set| &set.definition);
        let covering: Arc<[_]> = definitions
            .filter(|set| set.covers(namespace, object))
            .cloned()
            .collect();
        self.covering.insert(namespace.clone(), covering.clone());
        covering
    }

    /// Moves the pods of a namespace whose labels changed in and out of sets (semantics rule F10).
    pub(super) fn namespace_changed(
        &mut self,
        name: &Name,
        old: Option<&Namespace>,
        world: &World,
        draft: &mut Draft,
    ) {
        self.covering.remove(name);
        let new = world.snapshot().namespaces.get(name);
        for definition in self.in_use.values().map(|set| &set.definition) {
            let (was, is) = (definition.covers(name, old), definition.covers(name, new));
            if was == is {
                continue;
            }
            for pod in world.pods_of(name) {
                for address in world.claims().sole_addresses(pod) {
                    definition.elements_of(pod, address, world.is_local(pod), |element| {
                        if is {
                            draft.insert_element(definition.name(), element);
                        } else {
                            draft.remove_element(definition.name(), &element);
                        }
                    });
                }
            }
        }
    }
}
