//! The ruleset, kept up to date one event at a time.
//!
//! What an event costs depends on the selectors in use on this node and on the objects it concerns, never on how many
//! pods the cluster has; only a selector that comes into use here looks through the namespaces it covers, and a port
//! name through all pods. The result always equals [`compile_protected`](crate::compile::compile_protected) of the same objects.

mod base;
mod names;
mod sets;
mod subjects;
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::compile::{Protection, selects};
use crate::model::{Name, Namespace, NodeScope, ObjectKey, Pod, Policy, Snapshot};
use crate::ruleset::{Draft, DropLog, Ruleset, Transaction};
use sets::Sets;
use subjects::Subjects;
use world::World;

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub enum Event {
    /// A pod was added or changed.
    Pod(Pod),
    /// A pod is gone.
    PodDeleted(ObjectKey),
    /// A namespace was added or changed.
    Namespace(Namespace),
    /// A namespace is gone.
    NamespaceDeleted(Name),
    /// A policy was added or changed.
    Policy(Policy),
    /// A policy is gone.
    PolicyDeleted(ObjectKey),
}

/// All objects, and the ruleset that follows from them.
#[derive(Debug)]
pub struct Compiler {
    world: World,
    subjects: Subjects,
    sets: Sets,
    draft: Draft,
    stale: Stale,
}

/// What has to be looked at again before the ruleset can be shown. Many events before that cost one look.
#[derive(Debug, Default)]
struct Stale {
    pods: BTreeSet<ObjectKey>,
    addresses: BTreeSet<IpAddr>,
}

impl Compiler {
    /// Starts without objects, for the pods of `scope`. What is dropped is logged as [`DropLog::default`] says.
    pub fn new(scope: NodeScope) -> Self {
        Self {
            world: World::new(scope),
            subjects: Subjects::new(Some(DropLog::default())),
            sets: Sets::default(),
            draft: Draft::default(),
            stale: Stale::default(),
        }
    }

    /// The same with drops logged as `log` says; without it they are only counted. For a compiler that has not taken an
    /// event in yet: chains that are there are not made anew.
    #[must_use]
    pub fn with_drop_log(mut self, log: Option<DropLog>) -> Self {
        self.subjects.base.set_log(log);
        self
    }

    /// The same with what `protection` says beside the policies' rules.
    #[must_use]
    pub fn with_protection(mut self, protection: Protection) -> Self {
        self.protect(protection);
        self
    }

    /// Changes what there is beside the policies' rules, with the next transaction.
    pub fn protect(&mut self, protection: Protection) {
        self.subjects.base.protect(protection);
    }

    /// All objects held now.
    pub fn snapshot(&self) -> &Snapshot {
        self.world.snapshot()
    }

    /// The live pods that have an address; several if it is contested.
    pub fn owners(&self, address: IpAddr) -> impl Iterator<Item = &Pod> {
        self.world.claimants(address)
    }

    /// The ruleset for the objects held now.
    pub fn ruleset(&mut self) -> &Ruleset {
        self.settle();
        self.draft.ruleset()
    }

    /// What changed in the ruleset since the last call.
    pub fn take_transaction(&mut self) -> Transaction {
        self.settle();
        self.draft.take_transaction()
    }

    /// The whole ruleset, for a table of which it is not known what it holds. Changes count from here on, as after
    /// [`take_transaction`](Self::take_transaction).
    pub fn take_whole(&mut self) -> Ruleset {
        self.settle();
        self.draft.take_whole()
    }

    /// Takes an event in. Objects may come in any order; an event that changes nothing costs nothing.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Pod(pod) => {
                let key = pod.key.clone();
                self.change_pod(&key, Some(pod));
            }
            Event::PodDeleted(key) => self.change_pod(&key, None),
            Event::Namespace(namespace) => {
                let name = namespace.name.clone();
                self.change_namespace(&name, Some(namespace));
            }
            Event::NamespaceDeleted(name) => self.change_namespace(&name, None),
            Event::Policy(policy) => {
                let key = policy.key.clone();
                self.change_policy(&key, Some(policy));
            }
            Event::PolicyDeleted(key) => self.change_policy(&key, None),
        }
    }

    fn change_pod(&mut self, key: &ObjectKey, new: Option<Pod>) {
        let old = self.world.snapshot().pod(key);
        if old == new.as_ref() {
            return;
        }
        let affected: BTreeSet<IpAddr> = old
            .iter()
            .copied()
            .chain(&new)
            .flat_map(|pod| pod.network_addresses().iter())
            .collect();
        // Only this node's pods have chains, and only their addresses entries.
        let concerns_node = old.into_iter().chain(&new).any(|p| self.world.is_local(p));
        if concerns_node {
            self.stale.pods.insert(key.clone());
        }
        for address in &affected {
            // Another claimant of an address gains or loses it with this pod.
            let claimants = self.world.claimants(*address);
            let local = claimants.filter(|pod| self.world.is_local(pod));
            let mut is_stale = concerns_node;
            for pod in local {
                self.stale.pods.insert(pod.key.clone());
                is_stale = true;
            }
            if is_stale {
                self.stale.addresses.insert(*address);
            }
            self.sets.retract(*address, &self.world, &mut self.draft);
        }
        self.world.set_pod(key, new);
        for address in &affected {
            self.sets.assert(*address, &self.world, &mut self.draft);
        }
    }

    fn change_namespace(&mut self, name: &Name, new: Option<Namespace>) {
        let old = self.world.set_namespace(name, new);
        self.sets
            .namespace_changed(name, old.as_ref(), &self.world, &mut self.draft);
    }

    fn change_policy(&mut self, key: &ObjectKey, new: Option<Policy>) {
        if self.world.snapshot().policies.get(key) == new.as_ref() {
            return;
        }
        let old = self.world.set_policy(key, new);
        let new = self.world.snapshot().policies.get(key);
        let concerned = |pod: &&Pod| old.iter().chain(new).any(|policy| selects(policy, pod));
        for pod in self.world.local_pods_of(&key.namespace).filter(concerned) {
            self.stale.pods.insert(pod.key.clone());
        }
        let contested = self.world.contested_in(&key.namespace);
        self.stale.addresses.extend(contested);
        self.subjects.policy_changed(key);
    }

    /// Brings chains and entries of what is stale up to date, and what they need of policies and sets.
    fn settle(&mut self) {
        let Stale {
            pods,
            mut addresses,
        } = std::mem::take(&mut self.stale);
        self.subjects.base.refresh(&self.world, &mut self.draft);
        for key in &pods {
            addresses.extend(self.subjects.refresh_pod(key, &self.world, &mut self.draft));
        }
        for address in addresses {
            self.subjects
                .refresh_address(address, &self.world, &mut self.draft);
        }
        self.subjects
            .refresh_policies(&mut self.sets, &self.world, &mut self.draft);
        self.subjects.base.drop_unused(&mut self.draft);
    }
}
