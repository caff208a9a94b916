//! What changed lately: a dropped packet is told of some time after it was dropped, and addresses move meanwhile.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use policy_compiler::model::{Name, Pod};

/// Changes older than this are forgotten. Packets are told of at most one window after they were dropped.
const REMEMBERED: Duration = Duration::from_secs(60);

/// At most so many changes are remembered, some 600 bytes each; the oldest go first.
const CHANGES: usize = 4096;

/// What lies between a change and its commit, or a packet and its time stamp, beyond what is measured.
const SLACK: Duration = Duration::from_secs(1);

/// Recent changes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past {
    changes: VecDeque<Change>,
    /// The latest change that was forgotten before its time, for want of room.
    overflowed: Option<SystemTime>,
}

#[derive(Debug)]
struct Change {
    known: SystemTime,
    /// When the kernel was told; until then it drops by what was before.
    in_force: Option<SystemTime>,
    what: What,
}

/// Something that a verdict depends on.
#[derive(Debug)]
pub(super) enum What {
    /// The pods that had an address, as they were, if that was known.
    Owners(IpAddr, Option<Vec<Pod>>),
    /// A policy in this namespace.
    Policy(Name),
    /// The labels of this namespace.
    Namespace(Name),
}

impl Past {
    pub(super) fn note(&mut self, what: What, now: SystemTime) {
        while let Some(oldest) = self.changes.front() {
            let age = now.duration_since(oldest.known).unwrap_or_default();
            if age < REMEMBERED && self.changes.len() < CHANGES {
                break;
            }
            if age < REMEMBERED {
                self.overflowed = Some(oldest.known);
            }
            self.changes.pop_front();
        }
        self.changes.push_back(Change {
            known: now,
            in_force: None,
            what,
        });
    }

    /// The kernel has been told of everything that was known at `known`.
    pub(super) fn in_force(&mut self, known: SystemTime, now: SystemTime) {
        self.changes
            .iter_mut()
            .filter(|change| change.in_force.is_none() && change.known <= known)
            .for_each(|change| change.in_force = Some(now));
    }

    /// The pods that had `address` at `time`; `None` if they are those that have it now.
    pub(super) fn owners(&self, address: IpAddr, time: SystemTime) -> Option<&[Pod]> {
        let mut later = self.changes.iter().filter(|change| change.known > time);
        later.find_map(|change| match &change.what {
            What::Owners(changed, Some(owners)) if *changed == address => Some(owners.as_slice()),
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
        let recent = |when: SystemTime| when + SLACK > time;
        if self.overflowed.is_some_and(recent) {
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

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn owners_are_those_before_the_next_change() {
        let mut past = Past::default();
        past.note(What::Owners(ADDRESS, None), at(500));
        let pod = |uid: &str| Pod {
            uid: uid.into(),
            ..super::super::tests::pod("shop/web", "10.0.0.1")
        };
        past.note(What::Owners(ADDRESS, Some(vec![pod("1")])), at(1000));
        past.note(What::Owners(ADDRESS, Some(vec![])), at(2000));
        past.note(What::Owners(ADDRESS, Some(vec![pod("2")])), at(3000));
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
        let mut past = Past::default();
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
        let mut past = Past::default();
        for i in 0..CHANGES as u64 * 2 {
            past.note(What::Owners(ADDRESS, Some(vec![])), at(100_000 + i));
        }
        assert_eq!(past.changes.len(), CHANGES);
        past.in_force(at(200_000), at(200_000));
        // What was forgotten may have been anything.
        assert!(past.is_unsettled(at(100_100), &[], &[]));
        assert!(!past.is_unsettled(at(300_000), &[], &[]));
        past.note(What::Owners(ADDRESS, Some(vec![])), at(400_000));
        assert_eq!(past.changes.len(), 1);
    }
}
