//! Which pod a drop's identity stands for, also for some time after the pod has gone.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use policy_compiler::model::{ObjectKey, Pod, Snapshot};
use policy_compiler::ruleset::PodId;

use super::past::bytes;

/// Pods that have gone are remembered this long: the kernel goes on dropping for them until the next commit, and their
/// packets are told of at most one window later.
const REMEMBERED: Duration = Duration::from_secs(60);

/// At most so many of them…
const GONE: usize = 1024;

/// …and so many bytes: a pod may have a megabyte of labels.
const BYTES: usize = 8 << 20;

/// This node's pods by life: a pod that is replaced under the same name is another one.
#[derive(Debug, Default)]
pub(super) struct Lives {
    present: HashMap<PodId, ObjectKey>,
    gone: VecDeque<(SystemTime, PodId, Pod)>,
    /// What these take.
    bytes: usize,
}

impl Lives {
    /// A pod of this node changed from `old` to `new`.
    pub(super) fn note(&mut self, old: Option<&Pod>, new: Option<&Pod>, now: SystemTime) {
        let identify = |pod: &Pod| PodId::of(&pod.key, &pod.uid);
        let (old, new) = (
            old.map(|pod| (identify(pod), pod)),
            new.map(|pod| (identify(pod), pod)),
        );
        if let Some((id, pod)) = old
            && new.is_none_or(|(new, _)| new != id)
            && self.present.remove(&id).is_some()
        {
            self.bytes += bytes(pod);
            self.forget(now);
            self.gone.push_back((now, id, pod.clone()));
        }
        if let Some((id, pod)) = new {
            self.present.insert(id, pod.key.clone());
        }
    }

    fn forget(&mut self, now: SystemTime) {
        while let Some((when, _, pod)) = self.gone.front() {
            let is_old = now.duration_since(*when).unwrap_or_default() >= REMEMBERED;
            if !is_old && self.gone.len() < GONE && self.bytes <= BYTES {
                break;
            }
            self.bytes -= bytes(pod);
            self.gone.pop_front();
        }
    }

    /// The pods of this node.
    pub(super) fn present(&self) -> impl Iterator<Item = &ObjectKey> {
        self.present.values()
    }

    /// The pod, as it is or last was.
    pub(super) fn find<'a>(&'a self, id: PodId, snapshot: &'a Snapshot) -> Option<&'a Pod> {
        if let Some(key) = self.present.get(&id) {
            return snapshot.pod(key);
        }
        let gone = self.gone.iter().rev().find(|(_, other, _)| *other == id);
        gone.map(|(.., pod)| pod)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pod;
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_replacement_does_not_take_the_place_of_what_it_replaced() {
        let life = |uid: &str| Pod {
            uid: uid.into(),
            ..pod("shop/db-0", "10.0.0.1")
        };
        let (first, second) = (life("1"), life("2"));
        let id = |pod: &Pod| PodId::of(&pod.key, &pod.uid);
        let mut snapshot = Snapshot::default();
        snapshot.add_pod(second.clone());
        let mut lives = Lives::default();
        lives.note(None, Some(&first), at(0));
        lives.note(Some(&first), Some(&second), at(10));
        assert_eq!(lives.find(id(&first), &snapshot), Some(&first));
        assert_eq!(lives.find(id(&second), &snapshot), Some(&second));
        assert_eq!(lives.find(id(&life("3")), &snapshot), None);
        for i in 0..GONE as u64 * 2 {
            let pod = life(&format!("x{i}"));
            lives.note(None, Some(&pod), at(20));
            lives.note(Some(&pod), None, at(20));
        }
        assert!(lives.gone.len() <= GONE && lives.present.len() == 1);
        for i in 0..100 {
            let pod = Pod {
                labels: policy_compiler::model::Labels::new([("a", "x".repeat(1 << 20))]),
                ..life(&format!("y{i}"))
            };
            lives.note(None, Some(&pod), at(30));
            lives.note(Some(&pod), None, at(30));
        }
        assert!(lives.gone.len() < 10 && lives.bytes < BYTES + (2 << 20));
    }
}
