//! Events on their way to the API server: one object for each thing that is told of a pod, and a count where it is told again.
//!
//! `kube`'s own recorder takes all that is told of a pod for one series, whatever the notes say, and shows the first.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::Told;
use crate::source::in_words;

/// How long the API server may take for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was told longer ago is told anew. The API server keeps events for an hour, unless it is told otherwise.
const SERIES: Duration = Duration::from_secs(1800);

/// The API server's limits, in bytes: a name has 253, and here a dot and up to 17 digits follow it.
const LONGEST_NAME: usize = 230;
const LONGEST_INSTANCE: usize = 128;

/// Sends what it receives until there is no more.
pub(super) async fn send(client: Client, node: String, mut waiting: mpsc::Receiver<Told>) {
    let mut sender = Sender {
        client,
        node,
        sent: HashMap::new(),
    };
    let mut in_trouble = false;
    while let Some(told) = waiting.recv().await {
        let trouble = match timeout(PATIENCE, sender.send(told)).await {
            Ok(Ok(())) => None,
            // The pod's namespace has gone, or is about to.
            Ok(Err(Error::Api(status))) if is_gone(status.code, &status.message) => continue,
            Ok(Err(error)) => Some(in_words(&error)),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        match trouble {
            None => in_trouble = false,
            Some(error) if !in_trouble => {
                warn!(
                    error,
                    "cannot write Kubernetes Events of drops; --kubernetes-events needs the right to create and patch \
                     events of events.k8s.io (deploy/rbac-events.yaml)"
                );
                in_trouble = true;
            }
            Some(error) => debug!(error, "still cannot write Kubernetes Events"),
        }
    }
}

fn is_gone(code: u16, message: &str) -> bool {
    code == 404 || (code == 403 && message.contains("because it is being terminated"))
}

struct Sender {
    client: Client,
    node: String,
    /// By pod's uid and note. What may be told in that time is bounded, and so is this.
    sent: HashMap<(Option<String>, String), Sent>,
}

/// An event that the API server has.
#[derive(Clone)]
struct Sent {
    name: String,
    count: i32,
    last: Instant,
}

impl Sender {
    async fn send(&mut self, told: Told) -> Result<(), Error> {
        let now = Instant::now();
        self.sent
            .retain(|_, sent| now.duration_since(sent.last) < SERIES);
        let what = (told.pod.uid.clone(), told.note.clone());
        let namespace = told.pod.namespace.clone().unwrap_or_default();
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        if let Some(sent) = self.sent.get_mut(&what) {
            let count = sent.count.saturating_add(1);
            let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(Timestamp::now())}});
            let patched = events
                .patch(&sent.name, &PatchParams::default(), &Patch::Merge(series))
                .await;
            match patched {
                Ok(_) => {
                    (sent.count, sent.last) = (count, now);
                    return Ok(());
                }
                // Somebody has deleted it.
                Err(Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let event = event(told, &self.node, Timestamp::now());
        let name = event.metadata.name.clone().unwrap_or_default();
        events.create(&PostParams::default(), &event).await?;
        let (count, last) = (1, now);
        self.sent.insert(what, Sent { name, count, last });
        Ok(())
    }
}

fn event(Told { pod, note }: Told, node: &str, now: Timestamp) -> Event {
    let ObjectReference { name, .. } = &pod;
    let of = beginning(name.as_deref().unwrap_or_default(), LONGEST_NAME);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{of}.{:x}", now.as_nanosecond())),
            namespace: pod.namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some("Warning".to_owned()),
        reason: Some("NetworkPolicyDenied".to_owned()),
        action: Some("Drop".to_owned()),
        reporting_controller: Some("netpol".to_owned()),
        reporting_instance: Some(beginning(node, LONGEST_INSTANCE).to_owned()),
        note: Some(note),
        regarding: Some(pod),
        ..Event::default()
    }
}

/// As much of a name as fits, such that it ends like one.
fn beginning(name: &str, longest: usize) -> &str {
    // Names are ASCII.
    let name = name.get(..longest).unwrap_or(name);
    name.trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_long_names_have_good_names() {
        let pod = |name: String| Told {
            pod: ObjectReference {
                name: Some(name),
                namespace: Some("shop".to_owned()),
                ..ObjectReference::default()
            },
            note: "n".to_owned(),
        };
        let node = format!("{}.{}", "n".repeat(127), "x".repeat(100));
        let long = format!("{}-.{}", "p".repeat(228), "x".repeat(23));
        for (name, start) in [("db-0".to_owned(), "db-0"), (long, &"p".repeat(228))] {
            let event = event(pod(name), &node, Timestamp::now());
            let name = event.metadata.name.unwrap_or_default();
            assert!(name.len() <= 253, "{name}");
            assert_eq!(name.split_once('.').map(|(start, _)| start), Some(start));
            assert_eq!(event.reporting_instance, Some("n".repeat(127)));
        }
    }

    #[test]
    fn what_has_gone_is_no_trouble() {
        let ending = "events.events.k8s.io is forbidden: unable to create new content in namespace a because it is being terminated";
        let rows = [
            (404, "namespaces \"a\" not found", true),
            (403, ending, true),
            (403, "User \"x\" cannot create resource \"events\"", false),
            (500, ending, false),
        ];
        for (code, message, expected) in rows {
            assert_eq!(is_gone(code, message), expected, "{code} {message}");
        }
    }
}
