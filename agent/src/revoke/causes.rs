//! What brought a change about, in words.

use std::collections::BTreeMap;
use std::fmt;

use policy_compiler::index::Event;
use policy_compiler::model::{Name, ObjectKey, Pod, Snapshot};

/// So many objects are remembered for one change; of more it is known how many.
const REMEMBERED: usize = 256;

/// So many are told of one connection.
const TOLD: usize = 8;

/// The objects that changed, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    objects: BTreeMap<Object, How>,
    more: usize,
    /// What else it was.
    occasion: Option<&'static str>,
}

/// Policies come first: most of what is cut is cut by them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Policy(ObjectKey),
    Namespace(Name),
    Pod(ObjectKey),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Added,
    Changed,
    Relabelled,
    Deleted,
}

impl Causes {
    /// A change that no object brought about.
    pub(super) fn occasion(text: &'static str) -> Self {
        Self {
            occasion: Some(text),
            ..Self::default()
        }
    }

    /// Takes note of an event that is about to be applied to `before`.
    pub(super) fn note(&mut self, event: &Event, before: &Snapshot) {
        let (object, how) = match event {
            Event::Policy(policy) => {
                let how = match before.policies.get(&policy.key) {
                    None => How::Added,
                    Some(old) if old != policy => How::Changed,
                    Some(_) => return,
                };
                (Object::Policy(policy.key.clone()), how)
            }
            Event::PolicyDeleted(key) if before.policies.contains_key(key) => {
                (Object::Policy(key.clone()), How::Deleted)
            }
            Event::Namespace(namespace) => {
                let how = match before.namespaces.get(&namespace.name) {
                    None => How::Added,
                    Some(old) if old != namespace => How::Relabelled,
                    Some(_) => return,
                };
                (Object::Namespace(namespace.name.clone()), how)
            }
            Event::NamespaceDeleted(name) if before.namespaces.contains_key(name) => {
                (Object::Namespace(name.clone()), How::Deleted)
            }
            Event::Pod(pod) => {
                let how = match before.pod(&pod.key) {
                    None => How::Added,
                    Some(old) if old == pod => return,
                    Some(old) if is_only_relabelled(old, pod) => How::Relabelled,
                    Some(_) => How::Changed,
                };
                (Object::Pod(pod.key.clone()), how)
            }
            Event::PodDeleted(key) if before.pod(key).is_some() => {
                (Object::Pod(key.clone()), How::Deleted)
            }
            Event::PolicyDeleted(_) | Event::NamespaceDeleted(_) | Event::PodDeleted(_) => return,
        };
        self.add(object, how);
    }

    fn add(&mut self, object: Object, how: How) {
        if let Some(before) = self.objects.get_mut(&object) {
            *before = before.then(how);
        } else if self.objects.len() < REMEMBERED {
            self.objects.insert(object, how);
        } else {
            self.more += 1;
        }
    }

    /// Adds those of a later change.
    pub(super) fn merge(&mut self, later: Self) {
        for (object, how) in later.objects {
            self.add(object, how);
        }
        self.more += later.more;
        self.occasion = self.occasion.or(later.occasion);
    }

    /// Those that can be about a connection between these pods, eight at most, and how many there are besides. Without such,
    /// all of them are, since one must be.
    pub fn of(&self, pods: &[&ObjectKey]) -> Vec<String> {
        let is_about = |object: &Object| {
            pods.iter().any(|pod| match object {
                Object::Policy(policy) => policy.namespace == pod.namespace,
                Object::Namespace(name) => *name == pod.namespace,
                Object::Pod(key) => key == *pod,
            })
        };
        let about = self.objects.iter().filter(|(object, _)| is_about(object));
        let mut told: Vec<String> = about.map(|(object, how)| words(object, *how)).collect();
        let mut more = 0;
        if told.is_empty() {
            let all = self.objects.iter();
            told = all.map(|(object, how)| words(object, *how)).collect();
            more = self.more;
        }
        more += told.len().saturating_sub(TOLD);
        told.truncate(TOLD);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        if told.is_empty() {
            told.push(
                self.occasion
                    .unwrap_or("the rules were put right")
                    .to_owned(),
            );
        }
        told
    }
}

/// What else policies see of the pod is as it was.
fn is_only_relabelled(old: &Pod, new: &Pod) -> bool {
    let relabelled = Pod {
        labels: new.labels.clone(),
        ..old.clone()
    };
    relabelled == *new
}

impl How {
    fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Added, Self::Changed | Self::Relabelled) => Self::Added,
            (Self::Deleted, Self::Added) | (Self::Changed, Self::Relabelled) => Self::Changed,
            (_, later) => later,
        }
    }
}

fn words(object: &Object, how: How) -> String {
    match object {
        Object::Policy(key) => format!("NetworkPolicy {key} {how}"),
        Object::Namespace(name) => format!("Namespace {name} {how}"),
        Object::Pod(key) => format!("Pod {key} {how}"),
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Relabelled => "relabelled",
            Self::Deleted => "deleted",
        })
    }
}

#[cfg(test)]
mod tests;
