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
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
    }

    fn begun() -> Past {
        let mut past = Past::default();
        past.in_force(at(0), at(0));
        past
    }

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn owners_are_those_before_the_next_change() {
        let mut past = begun();
        let pod = |uid: &str| Pod {
            uid: uid.into(),
            ..super::super::tests::pod("shop/web", "10.0.0.1")
        };
        past.note(What::Owners(ADDRESS, vec![pod("1")]), at(1000));
        past.note(What::Owners(ADDRESS, vec![]), at(2000));
        past.note(What::Owners(ADDRESS, vec![pod("2")]), at(3000));
        let uids = |time| {
            let owners = past.owners(ADDRESS, at(time))?;
            Some(
                owners
                    .iter()
                    .map(|pod| pod.uid.to_string())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            uids(499),
            Some(vec!["1".to_owned()]),
            "who had it all along"
        );
        assert_eq!(uids(999), Some(vec!["1".to_owned()]));
        assert_eq!(uids(1000), Some(vec![]));
        assert_eq!(uids(2500), Some(vec!["2".to_owned()]));
        assert_eq!(uids(3000), None);
        assert!(past.owners(IpAddr::from([10, 0, 0, 2]), at(0)).is_none());
    }

    #[test]
    fn what_is_not_in_force_unsettles() {
        let shop = Name::parse("shop").expect("a name");
        let mut past = begun();
        past.note(What::Policy(shop.clone()), at(10_000));
        let unsettled = |past: &Past, time| past.is_unsettled(at(time), &[], &[&shop]);
        assert!(unsettled(&past, 90_000));
        past.in_force(at(9_999), at(10_050));
        assert!(unsettled(&past, 90_000));
        past.in_force(at(10_000), at(10_100));
        assert!(unsettled(&past, 10_050) && unsettled(&past, 11_000));
        assert!(!unsettled(&past, 12_000));
        assert!(!past.is_unsettled(at(10_050), &[ADDRESS], &[]));
    }

    #[test]
    fn the_past_is_bounded() {
        let mut past = begun();
        for i in 0..CHANGES as u64 * 2 {
            past.note(What::Owners(ADDRESS, vec![]), at(100_000 + i));
        }
        assert_eq!(past.changes.len(), CHANGES);
        assert!(past.is_unsettled(at(150_000), &[], &[]), "not in force yet");
        past.in_force(at(200_000), at(200_000));
        // What was forgotten may have been anything.
        assert!(past.is_unsettled(at(200_100), &[], &[]));
        assert!(!past.is_unsettled(at(300_000), &[], &[]));
        past.note(What::Owners(ADDRESS, vec![]), at(400_000));
        assert_eq!(past.changes.len(), 1);
        let label = "x".repeat(1 << 20);
        let heavy = Pod {
            labels: policy_compiler::model::Labels::new([("a", label)]),
            ..super::super::tests::pod("shop/web", "10.0.0.1")
        };
        for i in 0..100 {
            past.note(What::Owners(ADDRESS, vec![heavy.clone()]), at(400_000 + i));
        }
        assert!(past.changes.len() < 10 && past.bytes <= BYTES);
    }

    #[test]
    fn what_is_learnt_at_the_start_has_not_changed() {
        let mut past = Past::default();
        past.note(What::Owners(ADDRESS, vec![]), at(1000));
        assert_eq!(past.owners(ADDRESS, at(500)), None);
        assert!(past.is_unsettled(at(500), &[], &[]));
        past.in_force(at(2000), at(2000));
        assert!(past.is_unsettled(at(2500), &[], &[]));
        assert!(!past.is_unsettled(at(3500), &[], &[]));
    }

    #[test]
    fn what_could_not_be_written_for_long_still_unsettles() {
        let shop = Name::parse("shop").expect("a name");
        let mut past = begun();
        past.note(What::Policy(shop.clone()), at(10_000));
        past.note(What::Owners(ADDRESS, vec![]), at(100_000));
        assert!(past.is_unsettled(at(100_000), &[], &[&shop]));
        past.in_force(at(110_000), at(110_000));
        assert!(!past.is_unsettled(at(120_000), &[], &[&shop]));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_bring_back_what_was() {
        let (day, shop) = (86_400_000, Name::parse("shop").expect("a name"));
        let mut past = begun();
        past.note(What::Owners(ADDRESS, vec![]), at(day));
        past.note(What::Policy(shop.clone()), at(day));
        let back = day - 3_600_000;
        assert_eq!(past.owners(ADDRESS, at(back)), None);
        past.in_force(at(back), at(back));
        assert!(!past.is_unsettled(at(back + 2000), &[ADDRESS], &[&shop]));
        past.note(What::Policy(shop.clone()), at(back + 3000));
        assert_eq!(past.changes.len(), 1);
    }
}
