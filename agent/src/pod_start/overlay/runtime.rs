//! The sandboxes that the runtime has told of since it was reached.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use policy_compiler::model::{Name, ObjectKey, Pod, PodAddresses};

use super::goes_by_name;
use crate::nri::Sandbox;

/// How many pods are remembered without an object. That of a stopped sandbox may still come, with addresses that are
/// somebody else's by then; and of a sandbox whose object has gone the stop is told soon, or never, as of one that another
/// plugin refuses.
const MOST_ENDED: usize = 1024;

/// The latest sandbox of each pod.
#[derive(Debug, Default)]
pub(super) struct Runtime {
    /// By the uid that the kubelet gave.
    latest: BTreeMap<String, Latest>,
    /// The uid of whose sandbox started last under this name.
    by_name: BTreeMap<ObjectKey, String>,
    /// Uids of those without object that were stopped, or had one, in this order.
    ended: VecDeque<String>,
}

#[derive(Debug)]
struct Latest {
    id: String,
    key: ObjectKey,
    /// `None` once it was stopped.
    addresses: Option<PodAddresses>,
}

/// What the runtime says of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Its sandbox has these addresses.
    Runs(PodAddresses),
    /// Its latest sandbox has gone.
    Stopped,
    /// It was never told of.
    Unknown,
}

impl Runtime {
    pub(super) fn started(&mut self, sandbox: &Sandbox) {
        let Some(key) = key(sandbox) else {
            return;
        };
        let addresses = PodAddresses::new(sandbox.addresses.iter().copied());
        self.by_name.insert(key.clone(), sandbox.uid.clone());
        let latest = Latest {
            id: sandbox.id.clone(),
            key,
            addresses: Some(addresses),
        };
        self.latest.insert(sandbox.uid.clone(), latest);
    }

    /// Notes that a sandbox has gone. `is_shown` tells whether there is an object of this name, for this uid.
    pub(super) fn stopped(
        &mut self,
        sandbox: &Sandbox,
        is_shown: impl Fn(&ObjectKey, &str) -> bool,
    ) {
        let Some(key) = key(sandbox) else {
            return;
        };
        if let Some(latest) = self.latest.get_mut(&sandbox.uid) {
            // An older one that is cleared away says nothing of the one in its place.
            if latest.id != sandbox.id {
                return;
            }
            latest.addresses = None;
        } else {
            let latest = Latest {
                id: sandbox.id.clone(),
                key: key.clone(),
                addresses: None,
            };
            self.latest.insert(sandbox.uid.clone(), latest);
            let by_name = self.by_name.entry(key.clone());
            by_name.or_insert_with(|| sandbox.uid.clone());
        }
        if !is_shown(&key, &sandbox.uid) {
            self.end(sandbox.uid.clone(), is_shown);
        }
    }

    /// The object has gone. Another one of its name may come, of a pod that has not been started yet.
    pub(super) fn forget(&mut self, pod: &Pod, is_shown: impl Fn(&ObjectKey, &str) -> bool) {
        let uid = match self.latest.get(&*pod.uid) {
            Some(_) => Some(String::from(&*pod.uid)),
            None => self.by_name.get(&pod.key).cloned(),
        };
        if let Some(uid) = uid {
            self.end(uid, is_shown);
        }
    }

    /// Remembers that the pod has ended, and of so many not the one that ended first.
    fn end(&mut self, uid: String, is_shown: impl Fn(&ObjectKey, &str) -> bool) {
        if !self.ended.contains(&uid) {
            self.ended.push_back(uid);
        }
        if self.ended.len() > MOST_ENDED
            && let Some(uid) = self.ended.pop_front()
            && let Some(latest) = self.latest.get(&uid)
            && !is_shown(&latest.key, &uid)
        {
            if self.by_name.get(&latest.key) == Some(&uid) {
                self.by_name.remove(&latest.key);
            }
            self.latest.remove(&uid);
        }
    }

    fn of(&self, pod: &Pod) -> Option<&Latest> {
        let by_uid = self.latest.get(&*pod.uid);
        by_uid.or_else(|| {
            let uid = self.by_name.get(&pod.key).filter(|_| goes_by_name(pod))?;
            self.latest.get(uid)
        })
    }

    pub(super) fn word(&self, pod: &Pod) -> Word {
        match self.of(pod).map(|latest| latest.addresses) {
            Some(Some(addresses)) => Word::Runs(addresses),
            Some(None) => Word::Stopped,
            None => Word::Unknown,
        }
    }

    /// The latest sandbox of a pod.
    pub(super) fn latest(&self, pod: &Pod) -> Option<&str> {
        self.of(pod).map(|latest| latest.id.as_str())
    }

    /// Whether a running sandbox has the address.
    pub(super) fn is_taken(&self, address: IpAddr) -> bool {
        let has = |addresses: PodAddresses| addresses.contains(address);
        self.latest
            .values()
            .any(|latest| latest.addresses.is_some_and(has))
    }
}

/// The pod's name, `None` if no pod can be called that.
pub(super) fn key(sandbox: &Sandbox) -> Option<ObjectKey> {
    let name = Name::parse(&sandbox.name).ok()?;
    Some(ObjectKey::new(Name::parse(&sandbox.namespace).ok()?, name))
}

#[cfg(test)]
impl Runtime {
    /// Everything that is held.
    pub(super) fn size(&self) -> usize {
        self.latest.len() + self.by_name.len() + self.ended.len()
    }
}
