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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decode;

    fn pod(name: &str, address: &str) -> Pod {
        let json = json!({
            "metadata": {"namespace": "shop", "name": name, "labels": {"app": "web", "pod-template-hash": "5d"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d", "controller": true}]},
            "spec": {"nodeName": "node-a", "containers": [{"ports": [{"name": "http", "containerPort": 80}]}]},
            "status": {"podIP": address},
        });
        decode::pod(&json).object.expect("valid")
    }

    /// Where the texts are that pods may have in common.
    fn texts(world: &World, name: &str) -> [*const u8; 5] {
        let key: ObjectKey = format!("shop/{name}").parse().expect("valid");
        let pod = world.snapshot.pod(&key).expect("is there");
        let text = |text: Option<&str>| text.expect("is there").as_ptr();
        [
            text(Some(pod.key.namespace.as_str())),
            text(pod.labels.get("app")),
            text(pod.node.as_ref().map(Name::as_str)),
            text(pod.ports.first().map(|port| port.name.as_str())),
            text(pod.workload.as_ref().map(crate::model::Workload::kind)),
        ]
    }

    #[test]
    fn pods_of_one_workload_share_their_texts() {
        let mut world = World::new(NodeScope::AllNodes);
        for name in ["web-5d-b", "web-5d-c", "web-5d-a"] {
            let pod = pod(name, "10.0.0.1");
            world.set_pod(&pod.key.clone(), Some(pod));
        }
        let shared = texts(&world, "web-5d-b");
        assert_eq!(texts(&world, "web-5d-a"), shared);
        assert_eq!(texts(&world, "web-5d-c"), shared);
        let again = pod("web-5d-c", "10.0.0.2");
        world.set_pod(&again.key.clone(), Some(again));
        assert_eq!(texts(&world, "web-5d-c"), shared, "and when one changes");
    }

    /// Semantics rule F9.
    #[test]
    fn an_address_is_contested_until_one_claimant_is_left() {
        let mut world = World::new(NodeScope::AllNodes);
        let address: IpAddr = [10, 0, 0, 1].into();
        let mut check = |name: &str, is_there: bool, expected: &[&str]| {
            let pod = pod(name, "10.0.0.1");
            world.set_pod(&pod.key.clone(), is_there.then_some(pod));
            let mut names: Vec<&str> = world
                .claimants(address)
                .map(|pod| pod.key.name.as_str())
                .collect();
            names.sort_unstable();
            assert_eq!(names, expected);
            let sole = world.sole_owner(address).map(|pod| pod.key.name.as_str());
            let only = expected.first().copied().filter(|_| expected.len() == 1);
            assert_eq!(sole, only);
            let contested = world.claims().contested().count();
            assert_eq!(contested, usize::from(expected.len() > 1));
        };
        check("a", true, &["a"]);
        check("b", true, &["a", "b"]);
        check("c", true, &["a", "b", "c"]);
        check("b", true, &["a", "b", "c"]);
        check("a", false, &["b", "c"]);
        check("x", false, &["b", "c"]);
        check("c", false, &["b"]);
        check("b", false, &[]);
    }
}
