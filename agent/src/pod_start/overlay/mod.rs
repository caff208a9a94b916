//! What the API server and the container runtime say of this node's pods, put together.
//!
//! The runtime knows a pod's addresses before its first instruction, and knows at once when they are given up; the API server
//! says both later. Where the runtime has spoken of a pod its word counts, whatever the API object shows. An address that a
//! running sandbox has is nobody else's. Once the runtime is out of reach, API objects are all there is.

mod runtime;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use policy_compiler::index::Event;
use policy_compiler::model::{NodeScope, ObjectKey, Pod, PodAddresses};

use crate::nri::Sandbox;
use runtime::{Runtime, Word};

/// The kind that owns a static pod's object in the API, which has a uid of its own.
const NODE: &str = "Node";

/// This node's pods, from both.
#[derive(Debug)]
pub(super) struct Overlay {
    scope: NodeScope,
    /// As the API server shows them.
    objects: BTreeMap<ObjectKey, Object>,
    /// `None` while nobody tells.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Object {
    pod: Pod,
    /// The addresses that it was last told with.
    told: PodAddresses,
}

impl Overlay {
    pub(super) fn new(scope: NodeScope) -> Self {
        Self {
            scope,
            objects: BTreeMap::new(),
            runtime: None,
        }
    }

    /// What an event of the source amounts to.
    pub(super) fn api(&mut self, event: Event) -> Event {
        match event {
            Event::Pod(pod) if self.scope.is_local(&pod) => self.object(pod),
            Event::Pod(pod) => {
                self.forget(&pod.key);
                Event::Pod(pod)
            }
            Event::PodDeleted(key) => {
                self.forget(&key);
                Event::PodDeleted(key)
            }
            other => other,
        }
    }

    fn object(&mut self, mut pod: Pod) -> Event {
        let is_replaced = |old: &Object| old.pod.uid != pod.uid;
        if self.objects.get(&pod.key).is_some_and(is_replaced) {
            self.forget(&pod.key);
        }
        let object = pod.clone();
        pod.addresses = self.addresses(&object);
        let told = pod.addresses;
        self.objects
            .insert(pod.key.clone(), Object { pod: object, told });
        Event::Pod(pod)
    }

    fn forget(&mut self, key: &ObjectKey) {
        if let Some(Object { pod, .. }) = self.objects.remove(key)
            && let Some(runtime) = &mut self.runtime
        {
            runtime.forget(&pod, |key, uid| is_shown(&self.objects, key, uid));
        }
    }

    /// The runtime was reached, and tells of all sandboxes that run.
    pub(super) fn connected(&mut self) -> Vec<Event> {
        self.runtime = Some(Runtime::default());
        self.differences()
    }

    /// Nobody tells of sandboxes any more.
    pub(super) fn lost(&mut self) -> Vec<Event> {
        self.runtime = None;
        self.differences()
    }

    pub(super) fn started(&mut self, sandbox: &Sandbox) -> Vec<Event> {
        let runtime = self.runtime.get_or_insert_default();
        runtime.started(sandbox);
        self.differences()
    }

    pub(super) fn stopped(&mut self, sandbox: &Sandbox) -> Vec<Event> {
        let Some(runtime) = &mut self.runtime else {
            return Vec::new();
        };
        runtime.stopped(sandbox, |key, uid| is_shown(&self.objects, key, uid));
        self.differences()
    }

    /// Whether the API object is here whose sandbox this is: then its addresses have been told.
    pub(super) fn knows(&self, sandbox: &Sandbox) -> bool {
        let Some((runtime, key)) = self.runtime.as_ref().zip(runtime::key(sandbox)) else {
            return false;
        };
        let object = self.objects.get(&key);
        let latest = object.and_then(|object| runtime.latest(&object.pod));
        latest.is_some_and(|id| id == sandbox.id)
    }

    /// The pods whose addresses are not those that they were told with. A node has some hundred pods at most: all are looked
    /// at, because a sandbox may concern others that claim its addresses.
    fn differences(&mut self) -> Vec<Event> {
        let mut objects = std::mem::take(&mut self.objects);
        let mut events = Vec::new();
        for object in objects.values_mut() {
            let addresses = self.addresses(&object.pod);
            if object.told != addresses {
                object.told = addresses;
                events.push(Event::Pod(Pod {
                    addresses,
                    ..object.pod.clone()
                }));
            }
        }
        self.objects = objects;
        events
    }

    /// The addresses that the pod has, to the best knowledge.
    fn addresses(&self, pod: &Pod) -> PodAddresses {
        match &self.runtime {
            // The address of a pod on the node's network is never its own.
            Some(runtime) if !pod.host_network => match runtime.word(pod) {
                Word::Runs(addresses) => addresses,
                Word::Stopped => PodAddresses::default(),
                Word::Unknown => PodAddresses::new(
                    pod.addresses
                        .iter()
                        .filter(|address| !runtime.is_taken(*address)),
                ),
            },
            _ => pod.addresses,
        }
    }
}

/// Whether there is an object for a sandbox of this name and uid.
fn is_shown(objects: &BTreeMap<ObjectKey, Object>, key: &ObjectKey, uid: &str) -> bool {
    let object = objects.get(key);
    object.is_some_and(|object| *object.pod.uid == *uid || goes_by_name(&object.pod))
}

/// Whether a pod's sandbox is found by its name, because the uid is not the kubelet's: that of a static pod, or none, as in
/// manifests.
fn goes_by_name(pod: &Pod) -> bool {
    let is_static = |workload: &policy_compiler::model::Workload| workload.kind() == NODE;
    pod.uid.is_empty() || pod.workload.as_ref().is_some_and(is_static)
}
