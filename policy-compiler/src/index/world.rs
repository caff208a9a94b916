//! The objects, and look-ups that follow from them alone.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::names::Names;
use crate::compile::{Claims, selects};
use crate::model::{Name, Namespace, NodeScope, ObjectKey, Pod, Policy, Snapshot};

/// Objects with the indexes that events need.
#[derive(Debug)]
pub(super) struct World {
    scope: NodeScope,
    snapshot: Snapshot,
    claims: Claims,
    local: BTreeSet<ObjectKey>,
    nodes: Names,
}

impl World {
    pub(super) fn new(scope: NodeScope) -> Self {
        Self {
            scope,
            snapshot: Snapshot::default(),
            claims: Claims::default(),
            local: BTreeSet::new(),
            nodes: Names::default(),
        }
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    pub(super) fn is_local(&self, pod: &Pod) -> bool {
        self.scope.is_local(pod)
    }

    pub(super) fn set_pod(&mut self, key: &ObjectKey, new: Option<Pod>) {
        let old = self.snapshot.pods.remove(key);
        if let Some(old) = &old {
            self.claims.remove(old);
            self.local.remove(key);
        }
        if let Some(mut pod) = new {
            self.share(&mut pod, old.as_deref());
            let pod = Arc::new(pod);
            self.claims.add(&pod);
            if self.scope.is_local(&pod) {
                self.local.insert(pod.key.clone());
            }
            self.snapshot.pods.insert(pod.key.clone(), pod);
        }
    }

    /// Decoded objects have texts of their own. What a pod has in common with what it was, or with those beside it, whose
    /// names begin alike because the same workload made them, is held once.
    fn share(&mut self, pod: &mut Pod, old: Option<&Pod>) {
        if let Some((name, _)) = self.snapshot.namespaces.get_key_value(&pod.key.namespace) {
            pod.key.namespace = name.clone();
        }
        if let Some(node) = &mut pod.node {
            self.nodes.share(node);
        }
        if let Some(old) = old {
            return pod.share(old);
        }
        let pods = &self.snapshot.pods;
        let before = pods.range(..&pod.key).next_back();
        let after = pods.range(&pod.key..).next();
        for (_, beside) in before.into_iter().chain(after) {
            pod.share(beside);
        }
    }

    /// Returns the namespace as it was.
    pub(super) fn set_namespace(
        &mut self,
        name: &Name,
        new: Option<Namespace>,
    ) -> Option<Namespace> {
        match new {
            Some(namespace) => self.snapshot.namespaces.insert(name.clone(), namespace),
            None => self.snapshot.namespaces.remove(name),
        }
    }

    /// Returns the policy as it was.
    pub(super) fn set_policy(&mut self, key: &ObjectKey, new: Option<Policy>) -> Option<Policy> {
        match new {
            Some(policy) => self.snapshot.policies.insert(key.clone(), policy),
            None => self.snapshot.policies.remove(key),
        }
    }

    /// All pods.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.snapshot.pods.values().map(Arc::as_ref)
    }

    /// The pods of a namespace.
    pub(super) fn pods_of<'a>(&'a self, namespace: &'a Name) -> impl Iterator<Item = &'a Pod> {
        self.snapshot.pods_in(namespace)
    }

    /// The pods of this node.
    pub(super) fn local_pods(&self) -> impl Iterator<Item = &Pod> {
        self.local.iter().filter_map(|key| self.snapshot.pod(key))
    }

    /// The pods of this node that are in a namespace.
    pub(super) fn local_pods_of(&self, namespace: &Name) -> impl Iterator<Item = &Pod> {
        self.local_pods()
            .filter(move |pod| pod.key.namespace == *namespace)
    }

    /// The policies that select a pod.
    pub(super) fn policies_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a Policy> {
        self.snapshot
            .policies_in(&pod.key.namespace)
            .filter(move |policy| selects(policy, pod))
    }

    /// The pods that claim an address.
    pub(super) fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &Pod> {
        self.claims.claimants(address).iter().map(Arc::as_ref)
    }

    /// The pod whose alone an address is.
    pub(super) fn sole_owner(&self, address: IpAddr) -> Option<&Pod> {
        match self.claims.claimants(address) {
            [pod] => Some(pod),
            _ => None,
        }
    }

    /// The contested addresses that a pod of the namespace claims.
    pub(super) fn contested_in(&self, namespace: &Name) -> impl Iterator<Item = IpAddr> {
        let concerns = move |pods: &[Arc<Pod>]| pods.iter().any(|p| p.key.namespace == *namespace);
        self.claims
            .contested()
            .filter(move |(_, pods)| concerns(pods))
            .map(|(address, _)| address)
    }
}
