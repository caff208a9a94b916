//! Snapshot in, [`Ruleset`] out.
//!
//! [`compile`] is the definition: it looks at everything and remembers nothing. [`crate::index`] reaches the same
//! ruleset one event at a time, out of the same pieces.

mod address_ranges;
mod addresses;
mod base_chains;
mod closed;
mod drop_rules;
mod families;
mod pod_chain;
mod policy_chain;
mod port_terms;
mod protection;
mod set_definition;
#[cfg(test)]
mod tests;

pub(crate) use addresses::Claims;
pub(crate) use base_chains::{add_base_chains, entry_map};
pub(crate) use closed::programmed_set;
pub(crate) use families::Families;
pub use pod_chain::pod_chain_name;
pub(crate) use pod_chain::{contested_chain, contested_chain_name, pod_chain};
pub(crate) use policy_chain::compile_policy;
use policy_chain::policy_chain_name;
pub use protection::{PodPlaces, Protection, drop_of_counter};
pub(crate) use set_definition::{SetContent, SetDefinition};

pub use crate::ruleset::{InterfacePattern, InterfacePatternError};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Direction, Name, NodeScope, ObjectKey, Pod, Policy, Snapshot};
use crate::ruleset::{DropLog, Element, Family, Ident, Ruleset, Set};

/// Compiles what a node must enforce: for each isolated pod of `scope`, a chain in each direction it is isolated in.
/// What is dropped is logged as [`DropLog::default`] says.
///
/// Without isolated pods the ruleset is empty, so that a node without policies pays nothing.
pub fn compile(snapshot: &Snapshot, scope: &NodeScope) -> Ruleset {
    compile_with(snapshot, scope, Some(&DropLog::default()))
}

/// As [`compile`], with drops logged as `log` says; without it they are only counted.
pub fn compile_with(snapshot: &Snapshot, scope: &NodeScope, log: Option<&DropLog>) -> Ruleset {
    compile_protected(snapshot, scope, log, &Protection::default())
}

/// As [`compile_with`], with what `protection` says beside the policies' rules.
pub fn compile_protected(
    snapshot: &Snapshot,
    scope: &NodeScope,
    log: Option<&DropLog>,
    protection: &Protection,
) -> Ruleset {
    let claims = Claims::of_all(snapshot.pods.values());
    let mut compilation = Compilation {
        snapshot,
        scope,
        log,
        protection,
        claims: &claims,
        ruleset: Ruleset::default(),
    };
    compilation.add_protection();
    let families = compilation.add_subjects();
    compilation.add_contested();
    let sets = compilation.add_policies(&families);
    compilation.add_sets(sets);
    compilation.ruleset
}

/// Whether `pod` is in the namespace of `policy` and its `spec.podSelector` matches (semantics rule A1).
pub(crate) fn selects(policy: &Policy, pod: &Pod) -> bool {
    policy.key.namespace == pod.key.namespace && policy.subjects.matches(&pod.labels)
}

/// Whether any of `policies` isolates in `direction` (semantics rule A2).
pub(crate) fn isolates<'a>(
    policies: impl IntoIterator<Item = &'a Policy>,
    direction: Direction,
) -> bool {
    policies
        .into_iter()
        .any(|policy| policy.rules(direction).is_some())
}

struct Compilation<'a> {
    snapshot: &'a Snapshot,
    scope: &'a NodeScope,
    log: Option<&'a DropLog>,
    protection: &'a Protection,
    claims: &'a Claims,
    ruleset: Ruleset,
}

impl<'a> Compilation<'a> {
    fn policies_of(&self, pod: &'a Pod) -> Vec<&'a Policy> {
        self.snapshot
            .policies_in(&pod.key.namespace)
            .filter(|policy| selects(policy, pod))
            .collect()
    }

    fn add_protection(&mut self) {
        self.protection.add_to(&mut self.ruleset, self.log);
        if self.protection.closed.is_none() {
            return;
        }
        // What nobody is isolated in is closed all the same.
        add_base_chains(&mut self.ruleset, self.protection, self.log);
        let pods = self.snapshot.pods.values();
        for pod in pods.filter(|pod| self.scope.is_local(pod)) {
            for address in pod.network_addresses().iter() {
                let set = programmed_set(Family::of(address));
                if let Some(set) = self.ruleset.sets.get_mut(&set) {
                    set.elements.insert(Element::Address(address));
                }
            }
        }
    }

    /// Adds the chains of local pods; tells of each policy in use which families its pods have.
    fn add_subjects(&mut self) -> BTreeMap<&'a ObjectKey, Families> {
        let mut in_use: BTreeMap<&ObjectKey, Families> = BTreeMap::new();
        for pod in self
            .snapshot
            .pods
            .values()
            .filter(|pod| self.scope.is_local(pod))
        {
            let addresses: Vec<IpAddr> = self.claims.sole_addresses(pod).collect();
            let policies = self.policies_of(pod);
            if addresses.is_empty() || policies.is_empty() {
                continue;
            }
            for policy in &policies {
                in_use.entry(&policy.key).or_default().add(&addresses);
            }
            for direction in Direction::BOTH
                .into_iter()
                .filter(|d| isolates(policies.iter().copied(), *d))
            {
                let name = pod_chain_name(&pod.key, direction);
                let chain = pod_chain(pod, &addresses, direction, &policies, self.log);
                self.enter(&addresses, direction, &name);
                self.ruleset.chains.insert(name, chain);
            }
        }
        in_use
    }

    /// Adds the chains of addresses that several live pods claim, one of them local (semantics rule F9).
    fn add_contested(&mut self) {
        for (address, claimants) in self.claims.contested() {
            let pods: Vec<&Pod> = claimants.iter().map(Arc::as_ref).collect();
            if !pods.iter().any(|pod| self.scope.is_local(pod)) {
                continue;
            }
            for direction in Direction::BOTH {
                if pods
                    .iter()
                    .any(|pod| isolates(self.policies_of(pod), direction))
                {
                    let name = contested_chain_name(address, direction);
                    self.enter(&[address], direction, &name);
                    let chain = contested_chain(address, direction, self.log);
                    self.ruleset.chains.insert(name, chain);
                }
            }
        }
    }

    /// Sends packets of `addresses` to `chain`, through base chains that are made with the first of them.
    fn enter(&mut self, addresses: &[IpAddr], direction: Direction, chain: &Ident) {
        if self.ruleset.maps.is_empty() {
            add_base_chains(&mut self.ruleset, self.protection, self.log);
        }
        for address in addresses {
            if let Some(map) = self.ruleset.maps.get_mut(&entry_map(direction, *address)) {
                map.elements.insert(*address, chain.clone());
            }
        }
    }

    fn add_policies(
        &mut self,
        in_use: &BTreeMap<&ObjectKey, Families>,
    ) -> BTreeMap<Ident, SetDefinition> {
        let mut sets = BTreeMap::new();
        for (key, families) in in_use {
            let Some(policy) = self.snapshot.policies.get(*key) else {
                continue;
            };
            for direction in Direction::BOTH {
                let Some(compiled) = compile_policy(policy, direction, *families) else {
                    continue;
                };
                self.ruleset.chains.extend(compiled.chains);
                sets.extend(compiled.sets);
            }
        }
        sets
    }

    fn add_sets(&mut self, definitions: BTreeMap<Ident, SetDefinition>) {
        let mut pods: BTreeMap<&Name, Vec<&Pod>> = BTreeMap::new();
        for pod in self
            .snapshot
            .pods
            .values()
            .filter(|pod| !pod.network_addresses().is_empty())
        {
            pods.entry(&pod.key.namespace).or_default().push(pod);
        }
        for (name, definition) in definitions {
            let mut elements = definition.constant();
            for (namespace, pods) in &pods {
                if !definition.covers(namespace, self.snapshot.namespaces.get(*namespace)) {
                    continue;
                }
                for pod in pods {
                    let local = self.scope.is_local(pod);
                    for address in self.claims.sole_addresses(pod) {
                        definition.elements_of(pod, address, local, |e| elements.push(e));
                    }
                }
            }
            let set = Set {
                key: definition.key(),
                comment: definition.comment(),
                elements: elements.into_iter().collect(),
            };
            self.ruleset.sets.insert(name, set);
        }
    }
}
