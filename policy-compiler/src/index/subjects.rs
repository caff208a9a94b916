//! The isolated pods of this node, and the policies they put in use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::base::{Base, program};
use super::sets::Sets;
use super::world::World;
use crate::compile::{
    Families, compile_policy, contested_chain, contested_chain_name, entry_map, isolates,
    pod_chain, pod_chain_name,
};
use crate::model::{Direction, ObjectKey, Pod, Policy};
use crate::ruleset::{Draft, DropLog, Ident};

/// Which local pods are subject to which policies.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    /// What is there of the table besides, and how drops are logged.
    pub(super) base: Base,
    /// Pods with an address of their own that some policy selects.
    pods: BTreeMap<ObjectKey, Subject>,
    /// Policies that select such a pod.
    policies: BTreeMap<ObjectKey, PolicyInUse>,
    /// Policies whose chains may have to change.
    changed: BTreeSet<ObjectKey>,
}

#[derive(Debug, Default)]
struct Subject {
    addresses: Vec<IpAddr>,
    /// Sorted.
    policies: Vec<ObjectKey>,
}

#[derive(Debug, Default)]
struct PolicyInUse {
    pods: BTreeSet<ObjectKey>,
    /// What the chains were compiled for; `None` if they have to be compiled (again).
    compiled_for: Option<Families>,
    chains: BTreeSet<Ident>,
    /// The sets the chains refer to.
    sets: Vec<Ident>,
}

impl Subjects {
    /// Nobody yet.
    pub(super) fn new(log: Option<DropLog>) -> Self {
        Self {
            base: Base::new(log),
            ..Self::default()
        }
    }

    /// Has a policy's chains compiled again at the next [`refresh_policies`](Self::refresh_policies).
    pub(super) fn policy_changed(&mut self, key: &ObjectKey) {
        if let Some(policy) = self.policies.get_mut(key) {
            policy.compiled_for = None;
        }
        self.changed.insert(key.clone());
    }

    /// Brings a pod's chains up to date. Returns the addresses whose entries have to be looked at.
    pub(super) fn refresh_pod(
        &mut self,
        key: &ObjectKey,
        world: &World,
        draft: &mut Draft,
    ) -> Vec<IpAddr> {
        let pod = world.snapshot().pod(key);
        let pod = pod.filter(|pod| world.is_local(pod));
        let addresses: Vec<IpAddr> =
            pod.map_or_else(Vec::new, |pod| world.claims().sole_addresses(pod).collect());
        let mut policies: Vec<&Policy> = Vec::new();
        if let Some(pod) = pod.filter(|_| !addresses.is_empty()) {
            policies.extend(world.policies_of(pod));
        }
        for direction in Direction::BOTH {
            let name = pod_chain_name(key, direction);
            match pod.filter(|_| isolates(policies.iter().copied(), direction)) {
                Some(pod) => {
                    let log = self.base.log();
                    let chain = pod_chain(pod, &addresses, direction, &policies, log);
                    draft.put_chain(&name, chain);
                }
                None => draft.remove_chain(&name),
            }
        }
        let new = Subject {
            addresses,
            policies: policies.iter().map(|policy| policy.key.clone()).collect(),
        };
        self.replace(key, new)
    }

    fn replace(&mut self, key: &ObjectKey, new: Subject) -> Vec<IpAddr> {
        let mut touched = new.addresses.clone();
        let old = self.pods.remove(key).unwrap_or_default();
        // Policies that keep the pod, with the same addresses, compile to what they did.
        let (gone, come) = if old.addresses == new.addresses {
            (
                missing_from(&new.policies, &old.policies),
                missing_from(&old.policies, &new.policies),
            )
        } else {
            (old.policies, new.policies.clone())
        };
        touched.extend(old.addresses);
        for policy in gone {
            if let Some(in_use) = self.policies.get_mut(&policy) {
                in_use.pods.remove(key);
            }
            self.changed.insert(policy);
        }
        for policy in come {
            let in_use = self.policies.entry(policy.clone()).or_default();
            in_use.pods.insert(key.clone());
            self.changed.insert(policy);
        }
        if !new.policies.is_empty() {
            self.pods.insert(key.clone(), new);
        }
        touched
    }

    /// Brings up to date where packets of an address are sent.
    pub(super) fn refresh_address(&self, address: IpAddr, world: &World, draft: &mut Draft) {
        let claimants: Vec<&Pod> = world.claimants(address).collect();
        let local = claimants.iter().any(|pod| world.is_local(pod));
        program(address, local, draft);
        for direction in Direction::BOTH {
            let isolated = local
                && claimants
                    .iter()
                    .any(|pod| isolates(world.policies_of(pod), direction));
            let contested = contested_chain_name(address, direction);
            let chain = match claimants.as_slice() {
                [pod] if isolated => Some(pod_chain_name(&pod.key, direction)),
                [_, _, ..] if isolated => Some(contested.clone()),
                _ => None,
            };
            if chain.as_ref() == Some(&contested) {
                let chain = contested_chain(address, direction, self.base.log());
                draft.put_chain(&contested, chain);
            } else {
                draft.remove_chain(&contested);
            }
            if chain.is_some() {
                self.base.enter(draft);
            }
            draft.set_entry(&entry_map(direction, address), address, chain.as_ref());
        }
    }

    /// Compiles policies that came into use or changed, removes those no longer in use.
    pub(super) fn refresh_policies(&mut self, sets: &mut Sets, world: &World, draft: &mut Draft) {
        for key in std::mem::take(&mut self.changed) {
            let Some(in_use) = self.policies.get_mut(&key) else {
                continue;
            };
            let mut families = Families::default();
            for pod in &in_use.pods {
                if let Some(subject) = self.pods.get(pod) {
                    families.add(&subject.addresses);
                }
            }
            let policy = world
                .snapshot()
                .policies
                .get(&key)
                .filter(|_| !in_use.pods.is_empty());
            if policy.is_some() && in_use.compiled_for == Some(families) {
                continue;
            }
            let old_chains = std::mem::take(&mut in_use.chains);
            let old_sets = std::mem::take(&mut in_use.sets);
            for compiled in Direction::BOTH
                .into_iter()
                .filter_map(|direction| compile_policy(policy?, direction, families))
            {
                for (name, chain) in compiled.chains {
                    draft.put_chain(&name, chain);
                    in_use.chains.insert(name);
                }
                for (name, set) in compiled.sets {
                    in_use.sets.push(name);
                    sets.acquire(set, world, draft);
                }
            }
            old_chains
                .difference(&in_use.chains)
                .for_each(|name| draft.remove_chain(name));
            in_use.compiled_for = Some(families);
            // Only now: a set that is used before and after must not be emptied in between.
            old_sets.iter().for_each(|name| sets.release(name, draft));
            if policy.is_none() {
                self.policies.remove(&key);
            }
        }
    }
}

/// What of `keys` is not in `among`; both are sorted.
fn missing_from(among: &[ObjectKey], keys: &[ObjectKey]) -> Vec<ObjectKey> {
    let mut among = among.iter().peekable();
    let missing = keys.iter().filter(|key| {
        while among.next_if(|other| other < key).is_some() {}
        among.peek() != Some(key)
    });
    missing.cloned().collect()
}
