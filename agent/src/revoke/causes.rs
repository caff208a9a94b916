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
mod tests {
    use policy_compiler::decode;
    use policy_compiler::index::Compiler;
    use policy_compiler::model::NodeScope;
    use serde_json::json;

    use super::*;

    fn key(text: &str) -> ObjectKey {
        text.parse().expect("a key")
    }

    fn policy(namespace: &str, name: &str, types: &[&str]) -> Event {
        let policy = decode::policy(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": {"policyTypes": types}
        }));
        Event::Policy(policy.object.expect("valid"))
    }

    fn pod(namespace: &str, name: &str, app: &str, address: &str) -> Event {
        let pod = decode::pod(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
            "spec": {"nodeName": "node-a"}, "status": {"phase": "Running", "podIPs": [{"ip": address}]}
        }));
        Event::Pod(pod.object.expect("valid"))
    }

    fn causes(before: Vec<Event>, events: Vec<Event>) -> Causes {
        let mut compiler = Compiler::new(NodeScope::AllNodes);
        before.into_iter().for_each(|event| compiler.apply(event));
        let mut causes = Causes::default();
        for event in events {
            causes.note(&event, compiler.snapshot());
            compiler.apply(event);
        }
        causes
    }

    #[test]
    fn what_happened_to_an_object_is_one_word() {
        let before = || {
            vec![
                policy("shop", "db", &["Ingress"]),
                pod("shop", "web", "web", "10.0.0.1"),
            ]
        };
        let rows = [
            (
                vec![policy("shop", "db", &["Ingress"])],
                vec!["the rules were put right"],
            ),
            (
                vec![policy("shop", "db", &["Egress"])],
                vec!["NetworkPolicy shop/db changed"],
            ),
            (
                vec![policy("shop", "x", &["Egress"])],
                vec!["NetworkPolicy shop/x added"],
            ),
            (
                vec![Event::PolicyDeleted(key("shop/db"))],
                vec!["NetworkPolicy shop/db deleted"],
            ),
            (
                vec![
                    Event::PolicyDeleted(key("shop/db")),
                    policy("shop", "db", &["Egress"]),
                ],
                vec!["NetworkPolicy shop/db changed"],
            ),
            (
                vec![Event::PolicyDeleted(key("shop/none"))],
                vec!["the rules were put right"],
            ),
            (
                vec![pod("shop", "web", "else", "10.0.0.1")],
                vec!["Pod shop/web relabelled"],
            ),
            (
                vec![
                    pod("shop", "web", "else", "10.0.0.1"),
                    pod("shop", "web", "else", "10.0.0.2"),
                ],
                vec!["Pod shop/web changed"],
            ),
            (
                vec![Event::PodDeleted(key("shop/web"))],
                vec!["Pod shop/web deleted"],
            ),
        ];
        for (events, expected) in rows {
            let text = format!("{events:?}");
            assert_eq!(
                causes(before(), events).of(&[&key("shop/web")]),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn causes_are_those_that_can_be_about_the_connection() {
        let mut events = vec![policy("else", "x", &["Egress"])];
        let of = |events: &[Event], pods: &[&str]| {
            let pods: Vec<ObjectKey> = pods.iter().map(|pod| key(pod)).collect();
            let pods: Vec<&ObjectKey> = pods.iter().collect();
            causes(vec![], events.to_vec()).of(&pods)
        };
        // One must be, whatever one thinks.
        assert_eq!(of(&events, &["shop/web"]), ["NetworkPolicy else/x added"]);
        events.push(policy("shop", "db", &["Ingress"]));
        events.push(pod("shop", "cron", "a", "10.0.0.9"));
        assert_eq!(of(&events, &["shop/web"]), ["NetworkPolicy shop/db added"]);
        assert_eq!(
            of(&events, &["shop/web", "shop/cron"]),
            ["NetworkPolicy shop/db added", "Pod shop/cron added"]
        );
    }

    #[test]
    fn many_are_counted() {
        let events: Vec<Event> = (0..REMEMBERED + 20)
            .map(|i| policy("shop", &format!("p{i:03}"), &["Ingress"]))
            .collect();
        let causes = causes(vec![], events);
        assert_eq!(causes.objects.len(), REMEMBERED);
        let told = causes.of(&[&key("shop/web")]);
        assert_eq!(told.len(), TOLD + 1);
        assert_eq!(told[0], "NetworkPolicy shop/p000 added");
        assert_eq!(told[TOLD], format!("and {} more", REMEMBERED - TOLD));
        assert_eq!(
            causes.of(&[&key("other/web")]).last().map(String::as_str),
            Some(&*format!("and {} more", REMEMBERED + 20 - TOLD))
        );
        assert_eq!(
            Causes::occasion("the agent started").of(&[]),
            ["the agent started"]
        );
    }
}
