//! Which connections are cut now, as far as is remembered.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Both ends of so many connections that share none.
const MOST: usize = 4096;

/// The ends of connections that are cut now, and of some that were and have ended. What allows something again concerns
/// only these.
#[derive(Debug, Default)]
pub(super) struct Record {
    ends: BTreeSet<IpAddr>,
    /// There were more than are remembered.
    is_full: bool,
}

impl Record {
    /// A connection is cut.
    pub(super) fn add(&mut self, ends: [IpAddr; 2]) {
        if self.ends.len() + ends.len() > MOST && !ends.iter().all(|end| self.ends.contains(end)) {
            self.is_full = true;
        } else {
            self.ends.extend(ends);
        }
    }

    /// Of these addresses those that may be an end of one.
    pub(super) fn among(&self, addresses: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        if self.is_full {
            return addresses.clone();
        }
        addresses.intersection(&self.ends).copied().collect()
    }

    /// All connections were looked at, or those of some addresses; of those that are cut these were `found`.
    pub(super) fn looked(&mut self, at: Option<&BTreeSet<IpAddr>>, found: Self) {
        match at {
            None => *self = found,
            Some(at) => {
                self.ends.retain(|end| !at.contains(end));
                self.is_full |= found.is_full;
                self.merge(found.ends);
            }
        }
    }

    fn merge(&mut self, ends: BTreeSet<IpAddr>) {
        self.ends.extend(ends);
        while self.ends.len() > MOST {
            self.is_full = true;
            self.ends.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number).into()
    }

    fn of(ends: &[u32]) -> Record {
        let mut record = Record::default();
        ends.iter().for_each(|end| record.add([ip(*end), ip(100)]));
        record
    }

    fn set(numbers: &[u32]) -> BTreeSet<IpAddr> {
        numbers.iter().copied().map(ip).collect()
    }

    #[test]
    fn what_was_looked_at_in_vain_is_forgotten() {
        let mut record = of(&[1, 2]);
        assert_eq!(record.among(&set(&[1, 3])), set(&[1]));
        record.looked(Some(&set(&[1, 3])), of(&[3]));
        assert_eq!(record.among(&set(&[1, 2, 3, 4])), set(&[2, 3]));
        record.looked(None, of(&[4]));
        assert_eq!(record.among(&set(&[1, 2, 3, 4])), set(&[4]));
        record.looked(None, of(&[]));
        assert_eq!(record.among(&set(&[4, 100])), set(&[]));
    }

    #[test]
    fn beyond_what_is_remembered_everything_may_be_cut() {
        let mut record = Record::default();
        for number in (0..).step_by(2).take(MOST) {
            record.add([ip(number), ip(number + 1)]);
        }
        assert!(record.is_full && record.ends.len() <= MOST);
        assert_eq!(record.among(&set(&[1 << 30])), set(&[1 << 30]));
        record.looked(Some(&set(&[1])), Record::default());
        assert!(record.is_full);
        record.looked(None, Record::default());
        assert!(!record.is_full && record.ends.is_empty());
    }
}
