//! What changed lately: a dropped packet is told of some time after it was dropped, and addresses move meanwhile.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use policy_compiler::model::{Name, Pod};

/// Changes older than this are forgotten. Packets are told of at most one window after they were dropped.
const REMEMBERED: Duration = Duration::from_secs(60);

/// At most so many changes are remembered; the oldest go first.
const CHANGES: usize = 4096;

/// At most so many bytes of them: whoever makes a pod may give it a megabyte of labels, and change them all the time.
const BYTES: usize = 8 << 20;

/// What lies between a change and its commit, or a packet and its time stamp, beyond what is measured.
const SLACK: Duration = Duration::from_secs(1);

/// Recent changes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past {
    changes: VecDeque<Change>,
    bytes: usize,
    /// The first commit. What was learnt before that had not changed: it was only not known yet.
    began: Option<SystemTime>,
    /// What had to be forgotten before its time, if anything: when the latest of it was put in force.
    forgotten: Forgotten,
}

#[derive(Debug)]
struct Change {
    known: SystemTime,
    in_force: InForce,
    what: What,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Forgotten {
    #[default]
    Nothing,
    Something(InForce),
}

/// When the kernel was told; until then it drops by what was before.
type InForce = Option<SystemTime>;

/// Something that a verdict depends on.
#[derive(Debug)]
pub(super) enum What {
    /// The pods that had an address, as they were.
    Owners(IpAddr, Vec<Pod>),
    /// A policy in this namespace.
    Policy(Name),
    /// The labels of this namespace.
    Namespace(Name),
}

impl What {
    fn bytes(&self) -> usize {
        match self {
            Self::Owners(_, pods) => size_of::<Change>() + pods.iter().map(bytes).sum::<usize>(),
            Self::Policy(_) | Self::Namespace(_) => size_of::<Change>(),
        }
    }
}

/// What a pod takes, about.
pub(super) fn bytes(pod: &Pod) -> usize {
    let labels = pod
        .labels
        .iter()
        .map(|(key, value)| key.len() + value.len());
    size_of::<Pod>() + size_of_val(&*pod.ports) + labels.sum::<usize>()
}

/// How far two times are from each other; a clock may be set back.
fn between(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|error| error.duration())
}

impl Past {
    pub(super) fn note(&mut self, what: What, now: SystemTime) {
        if self.began.is_none() {
            return;
        }
        let bytes = what.bytes();
        while let Some(oldest) = self.changes.front() {
            let is_old = between(now, oldest.known) >= REMEMBERED;
            let has_room = self.changes.len() < CHANGES && self.bytes + bytes <= BYTES;
            if !is_old && has_room {
                break;
            }
            if !is_old || oldest.in_force.is_none() {
                self.forgotten = Forgotten::Something(oldest.in_force);
            }
            self.bytes -= oldest.what.bytes();
            self.changes.pop_front();
        }
        self.bytes += bytes;
        self.changes.push_back(Change {
            known: now,
            in_force: None,
            what,
        });
    }

    /// The kernel has been told of everything that was known at `known`.
    pub(super) fn in_force(&mut self, known: SystemTime, now: SystemTime) {
        self.began.get_or_insert(now);
        if self.forgotten == Forgotten::Something(None) {
            self.forgotten = Forgotten::Something(Some(now));
        }
        self.changes
            .iter_mut()
            .filter(|change| change.in_force.is_none())
            .filter(|change| change.known <= known || between(change.known, known) >= REMEMBERED)
            .for_each(|change| change.in_force = Some(now));
    }

    /// The pods that had `address` at `time`; `None` if they are those that have it now.
    pub(super) fn owners(&self, address: IpAddr, time: SystemTime) -> Option<&[Pod]> {
        // What is much later was noted before the clock was set back.
        let is_later =
            |change: &&Change| change.known > time && between(change.known, time) < REMEMBERED;
        let mut later = self.changes.iter().filter(is_later);
        later.find_map(|change| match &change.what {
            What::Owners(changed, owners) if *changed == address => Some(owners.as_slice()),
            _ => None,
        })
    }

    /// Whether the rules that a packet of `time` met may have been others than what is known of `time` asks for.
    pub(super) fn is_unsettled(
        &self,
        time: SystemTime,
        addresses: &[IpAddr],
        namespaces: &[&Name],
    ) -> bool {
        let recent = |when: SystemTime| when + SLACK > time && between(when, time) < REMEMBERED;
        let has_forgotten = match self.forgotten {
            Forgotten::Nothing => false,
            Forgotten::Something(in_force) => in_force.is_none_or(recent),
        };
        if has_forgotten || self.began.is_none_or(recent) {
            return true;
        }
        self.changes
            .iter()
            .filter(|change| change.in_force.is_none_or(recent))
            .any(|change| match &change.what {
                What::Owners(address, _) => addresses.contains(address),
                What::Policy(name) | What::Namespace(name) => namespaces.contains(&name),
            })
    }
}

#[cfg(test)]
mod tests;
