//! Everything known at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Name, Namespace, ObjectKey, Pod, Policy};

/// All objects known at one moment, by identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Namespaces by name. A pod may be in a namespace that is not here (yet): no `namespaceSelector` matches it then.
    pub namespaces: BTreeMap<Name, Namespace>,
    /// Pods, those that have ended and those without address too.
    pub pods: BTreeMap<ObjectKey, Arc<Pod>>,
    /// Policies.
    pub policies: BTreeMap<ObjectKey, Policy>,
}

impl Snapshot {
    /// The pod of this name.
    pub fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        self.pods.get(key).map(Arc::as_ref)
    }

    /// The pods of one namespace, by name.
    pub fn pods_in<'a>(&'a self, namespace: &Name) -> impl Iterator<Item = &'a Pod> + use<'a> {
        in_namespace(&self.pods, namespace).map(Arc::as_ref)
    }

    /// The policies of one namespace, by name.
    pub fn policies_in<'a>(
        &'a self,
        namespace: &Name,
    ) -> impl Iterator<Item = &'a Policy> + use<'a> {
        in_namespace(&self.policies, namespace)
    }

    /// Adds or replaces a namespace.
    pub fn add_namespace(&mut self, namespace: Namespace) {
        self.namespaces.insert(namespace.name.clone(), namespace);
    }

    /// Adds or replaces a pod.
    pub fn add_pod(&mut self, pod: Pod) {
        self.pods.insert(pod.key.clone(), Arc::new(pod));
    }

    /// Adds or replaces a policy.
    pub fn add_policy(&mut self, policy: Policy) {
        self.policies.insert(policy.key.clone(), policy);
    }
}

fn in_namespace<'a, T>(
    objects: &'a BTreeMap<ObjectKey, T>,
    namespace: &Name,
) -> impl Iterator<Item = &'a T> + use<'a, T> {
    // The shortest name there can be: everything of the namespace sorts at or after it.
    let first = ObjectKey::new(namespace.clone(), Name::lowest());
    let namespace = namespace.clone();
    objects
        .range(first..)
        .take_while(move |(key, _)| key.namespace == namespace)
        .map(|(_, object)| object)
}

/// Whose pods a ruleset is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeScope {
    /// Every pod is local: a dry run over a whole cluster.
    AllNodes,
    /// The pods whose `spec.nodeName` is this.
    Node(Name),
}

impl NodeScope {
    /// Whether `pod` is one of this scope's own.
    pub fn is_local(&self, pod: &Pod) -> bool {
        match self {
            Self::AllNodes => true,
            Self::Node(node) => pod.node.as_ref() == Some(node),
        }
    }
}
