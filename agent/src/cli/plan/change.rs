//! What would be, if a change were made.

use std::sync::Arc;

use policy_compiler::model::{Name, ObjectKey, Pod, PodAddresses, Snapshot};

use super::{Failure, remark};
use crate::manifests::{Identity, Manifests};

/// What `--delete` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deleted(Identity);

impl Deleted {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORMS: &str =
            "must be like networkpolicy/NAMESPACE/NAME, pod/NAMESPACE/NAME or namespace/NAME";
        let (kind, name) = text.split_once('/').ok_or(FORMS)?;
        let key = || {
            if !name.contains('/') {
                return Err(FORMS.to_owned());
            }
            name.parse::<ObjectKey>().map_err(|error| error.to_string())
        };
        // As kubectl calls them.
        let identity = match kind.to_ascii_lowercase().as_str() {
            "networkpolicy" | "networkpolicies" | "netpol" => Identity::Policy(key()?),
            "pod" | "pods" | "po" => Identity::Pod(key()?),
            "namespace" | "namespaces" | "ns" => {
                let name = Name::parse(name).map_err(|error| format!("the namespace {error}"))?;
                Identity::Namespace(name)
            }
            _ => return Err(FORMS.to_owned()),
        };
        Ok(Self(identity))
    }
}

/// The objects as they would be: what is in the files replaces what has its name, then what is to be deleted goes.
pub(super) fn apply(
    before: &Snapshot,
    files: Manifests,
    deleted: &[Deleted],
) -> Result<Snapshot, Failure> {
    let mut after = before.clone();
    let Manifests {
        snapshot,
        implicit_namespaces,
        others,
    } = files;
    if !others.is_empty() {
        remark(&format!(
            "note: {} objects are passed over that no policy looks at; of a workload, give the pods with their new labels",
            others.len()
        ));
    }
    for (name, namespace) in snapshot.namespaces {
        // One that is only mentioned says nothing of its labels.
        if !implicit_namespaces.contains(&name) || !after.namespaces.contains_key(&name) {
            after.add_namespace(namespace);
        }
    }
    for (key, pod) in snapshot.pods {
        let pod = Arc::unwrap_or_clone(pod);
        after.add_pod(match before.pod(&key) {
            Some(old) => as_it_runs(pod, old),
            None => pod,
        });
    }
    for (_, policy) in snapshot.policies {
        after.add_policy(policy);
    }
    for Deleted(identity) in deleted {
        if !delete(&mut after, identity) {
            return Err(Failure::because(format!(
                "there is no {identity} that could be deleted"
            )));
        }
    }
    Ok(after)
}

/// A manifest says what the pod is meant to be; where it runs, with which address, is known of the pod there is.
fn as_it_runs(mut pod: Pod, old: &Pod) -> Pod {
    if pod.addresses.is_empty() {
        pod.addresses = PodAddresses::new(old.addresses.iter());
        pod.phase = old.phase;
    }
    if pod.node.is_none() {
        pod.node.clone_from(&old.node);
    }
    pod.uid = old.uid.clone();
    pod
}

/// Says whether there was one. With a namespace goes all that is in it.
fn delete(snapshot: &mut Snapshot, identity: &Identity) -> bool {
    match identity {
        Identity::Policy(key) => snapshot.policies.remove(key).is_some(),
        Identity::Pod(key) => snapshot.pods.remove(key).is_some(),
        Identity::Namespace(name) => {
            snapshot.pods.retain(|key, _| key.namespace != *name);
            snapshot.policies.retain(|key, _| key.namespace != *name);
            snapshot.namespaces.remove(name).is_some()
        }
    }
}
