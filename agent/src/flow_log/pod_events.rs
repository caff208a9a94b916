//! Kubernetes Events on the pods concerned, for those who look with `kubectl describe pod`.
//!
//! The API server stores each of them, so they are few: the same one once in a while, and of all only so many.

mod send;

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use policy_compiler::model::{Direction, ObjectKey};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::event::{End, FlowEvent, PodEnd, Reason, Who};
use super::words;

/// The same is told again after this.
const AGAIN: Duration = Duration::from_secs(300);

/// At most so many different ones are remembered; past that, new ones wait until old ones may be told again.
const REMEMBERED: usize = 1024;

/// So many in a row, and then one for each `REFILL`.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(2);

/// Events that wait for the API server; further ones are not told.
const QUEUE: usize = 64;

/// The API server's limit for a note, in bytes.
const LONGEST_NOTE: usize = 1024;

/// What is told of a pod.
#[derive(Debug)]
struct Told {
    pod: ObjectReference,
    note: String,
}

/// Tells pods of their drops. Ends when dropped.
#[derive(Debug)]
pub struct PodEvents {
    queue: mpsc::Sender<Told>,
    budget: Budget,
}

impl PodEvents {
    /// Sends events in a task of its own. Needs the right to create and patch events of `events.k8s.io`.
    pub fn start(client: Client, node: &str) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(send::send(client, node.to_owned(), waiting));
        Self {
            queue,
            budget: Budget::default(),
        }
    }

    /// Tells the pods at both ends of a drop.
    pub fn tell(&mut self, event: &FlowEvent) {
        let (Reason::NoRule { .. } | Reason::Contested { .. }) = &event.reason else {
            return;
        };
        let (subject, peer) = match event.direction {
            Direction::Egress => (&event.source, &event.destination),
            Direction::Ingress => (&event.destination, &event.source),
        };
        let notes = [
            (subject, note_of_subject(event, peer)),
            (peer, note_of_peer(event, subject)),
        ];
        for (end, note) in notes {
            let Who::Pod(pod) = &end.who else { continue };
            if self.budget.spend(pod, &note, Instant::now()) {
                let pod = reference(pod);
                // With the API server away they would only pile up.
                let _ = self.queue.try_send(Told { pod, note });
            }
        }
    }
}

/// Which events may be sent.
#[derive(Debug)]
struct Budget {
    told: HashMap<(String, String), Instant>,
    tokens: u32,
    refilled: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            told: HashMap::new(),
            tokens: BURST,
            refilled: Instant::now(),
        }
    }
}

impl Budget {
    fn spend(&mut self, pod: &PodEnd, note: &str, now: Instant) -> bool {
        while self.tokens < BURST && now.duration_since(self.refilled) >= REFILL {
            self.refilled += REFILL;
            self.tokens += 1;
        }
        if self.tokens == BURST {
            self.refilled = now;
        }
        if self.tokens == 0 {
            return false;
        }
        if self.told.len() >= REMEMBERED {
            self.told
                .retain(|_, when| now.duration_since(*when) < AGAIN);
        }
        let what = (pod.uid.to_string(), note.to_owned());
        let is_new = self
            .told
            .get(&what)
            .is_none_or(|when| now.duration_since(*when) >= AGAIN);
        if !is_new || self.told.len() >= REMEMBERED {
            return false;
        }
        self.told.insert(what, now);
        self.tokens -= 1;
        true
    }
}

fn reference(pod: &PodEnd) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.key.namespace.to_string()),
        name: Some(pod.key.name.to_string()),
        uid: Some(pod.uid.to_string()).filter(|uid| !uid.is_empty()),
        ..ObjectReference::default()
    }
}

/// For the pod whose policies dropped the packet, and for whoever writes them.
fn note_of_subject(event: &FlowEvent, peer: &End) -> String {
    let towards = match event.direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let (policies, why) = match &event.reason {
        Reason::NoRule {
            isolating,
            near_misses,
            ..
        } => (isolating.as_slice(), near_misses.first()),
        Reason::Contested { isolating } => (isolating.as_slice(), None),
        _ => (&[][..], None),
    };
    let why = why.map_or(String::new(), |miss| format!("; nearest rule: {miss}"));
    cut(format!(
        "{} {towards} {} {} denied by NetworkPolicy {}{why}",
        event.direction,
        words::end(peer),
        words::transport(event.transport.as_ref()),
        list(policies),
    ))
}

/// For the pod at the other end. What another namespace's policies are called, and what they ask for, is not its business.
fn note_of_peer(event: &FlowEvent, subject: &End) -> String {
    let (to, side) = match event.direction {
        Direction::Ingress => ("connection to", "its ingress"),
        Direction::Egress => ("connection from", "its egress"),
    };
    cut(format!(
        "{to} {} {} denied by the NetworkPolicy of {side}",
        words::end(subject),
        words::transport(event.transport.as_ref()),
    ))
}

fn list(policies: &[ObjectKey]) -> String {
    let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn cut(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let longest = LONGEST_NOTE - "…".len();
        let ends = note.char_indices().map(|(start, _)| start);
        let end = ends
            .take_while(|end| *end <= longest)
            .last()
            .unwrap_or_default();
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> PodEnd {
        PodEnd {
            key: format!("shop/{name}").parse().expect("a key"),
            uid: name.into(),
            labels: policy_compiler::model::Labels::default(),
            workload: None,
            node: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_few() {
        let mut budget = Budget::default();
        let start = Instant::now();
        let mut spend = |pod_name: &str, note: &str, after: Duration| {
            budget.spend(&pod(pod_name), note, start + after)
        };
        assert!(spend("a", "x", Duration::ZERO));
        assert!(!spend("a", "x", AGAIN / 2), "the same again");
        assert!(spend("a", "x", AGAIN));
        assert!(spend("b", "x", AGAIN) && spend("a", "y", AGAIN));
        let burst = (0..1000)
            .filter(|i| spend(&format!("p{i}"), "z", AGAIN))
            .count();
        assert_eq!(burst, BURST as usize - 3);
        let slow = (0..1000)
            .filter(|i| spend(&format!("q{i}"), "z", AGAIN + REFILL * 5))
            .count();
        assert_eq!(slow, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let mut budget = Budget::default();
        let start = Instant::now();
        let mut now = start;
        for i in 0..REMEMBERED * 4 {
            now += REFILL;
            budget.spend(&pod(&format!("p{i}")), "x", now);
            assert!(budget.told.len() <= REMEMBERED);
        }
    }

    #[test]
    fn long_notes_are_cut_between_characters() {
        let note = cut("ä".repeat(2000));
        assert!(note.len() <= LONGEST_NOTE && note.ends_with('…'));
        assert_eq!(cut("short".to_owned()), "short");
    }
}
