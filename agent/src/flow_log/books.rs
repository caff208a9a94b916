//! The books: every packet that a counter of the table counted is told once, as itself, as a repeat, as suppressed or as
//! lost.
//!
//! Counters tell how many packets were dropped, the reader how many of them reached it. What is missing was kept back by
//! the kernel's rate limit, or got lost on the way, of which the reader knows the number but not the pod. It learns the
//! number with the next packet that comes through, which may be long after; by then what is missing may have been told
//! as suppressed, and is not told a second time.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use policy_compiler::model::{Direction, ObjectKey};

use crate::flow_log::kernel::counters::FORGED_AT_PORTS;

/// What a counter counts for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Whose drops.
    pub of: Payer,
    /// In which direction.
    pub direction: Direction,
}

/// Whose drops they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payer {
    /// A pod's; it may have several lives one after the other under its name.
    Pod(ObjectKey),
    /// Addresses' that several pods claim.
    Contested,
    /// Link-local addresses'.
    LinkLocal,
    /// Pods' that no rules are there for yet.
    NotProgrammed,
    /// Those who forge sources'.
    ForgedSource,
    /// Connections' that were cut.
    Cut,
    /// Pods' that are not known.
    Unknown,
}

/// What has been added to a counter since it stood at `last`. One that stands lower has begun anew.
fn added(last: &mut u64, value: u64) -> u64 {
    let before = std::mem::replace(last, value);
    value.checked_sub(before).unwrap_or(value)
}

#[derive(Debug, Default)]
struct Page {
    counted: u64,
    /// What had been counted a reading ago: the reader has received of that what it ever will.
    settled: u64,
    received: u64,
    told: u64,
}

impl Page {
    fn missing(&self) -> u64 {
        self.settled.saturating_sub(self.received)
    }
}

/// The accounts of one node, from when its rules are this agent's.
#[derive(Debug, Default)]
pub struct Books {
    /// What each counter stood at.
    counters: HashMap<String, u64>,
    pages: BTreeMap<Account, Page>,
    /// Told as lost, or about to be.
    lost: u64,
    /// Of these, what has not been taken to be told.
    lost_due: u64,
    /// Said to be lost before the last reading, and since: whether all of that is missing is known when the counters
    /// that it is in have settled.
    ripening: u64,
    fresh: u64,
    /// Some were lost of which the number is not known yet.
    is_gap_open: bool,
    told: u64,
    /// Owed by accounts that have been closed.
    parting: u64,
    is_read: bool,
}

impl Books {
    /// Takes a reading of all counters, with the account of each, and what was received since the last reading, in parts
    /// if it came so. Returns what each account was newly charged.
    ///
    /// `is_settled` says that of what the reading before counted the reader has by now received all that it ever will.
    pub fn read(
        &mut self,
        counters: &[(String, Account, u64)],
        received: &[(Account, u64)],
        is_settled: bool,
    ) -> BTreeMap<Account, u64> {
        self.close_accounts(counters);
        if is_settled {
            self.settle_pages();
        }
        let mut charges = BTreeMap::new();
        for (name, account, value) in counters {
            let added = added(self.counters.entry(name.clone()).or_default(), *value);
            if added > 0 {
                self.pages.entry(account.clone()).or_default().counted += added;
                *charges.entry(account.clone()).or_default() += added;
            }
        }
        self.is_read = true;
        for (account, added) in received {
            self.pages.entry(account.clone()).or_default().received += added;
        }
        if is_settled {
            let ripe = std::mem::replace(&mut self.ripening, std::mem::take(&mut self.fresh));
            self.confirm(ripe);
        }
        charges
    }

    /// Takes note of what counters stand at before anything is charged to anybody.
    pub fn begin_at(&mut self, counters: &[(String, Account, u64)]) {
        let stand = counters
            .iter()
            .map(|(name, _, value)| (name.clone(), *value));
        self.counters = stand.collect();
    }

    /// The table has been made anew, and its counters with it, but not the one of the other table.
    pub fn counters_begin_anew(&mut self) {
        self.counters.retain(|name, _| name == FORGED_AT_PORTS);
    }

    /// Accounts whose counters are gone, and of which nothing is under way, would add up for ever.
    fn close_accounts(&mut self, counters: &[(String, Account, u64)]) {
        let names: HashSet<&str> = counters.iter().map(|(name, ..)| name.as_str()).collect();
        self.counters
            .retain(|name, _| names.contains(name.as_str()));
        let open: HashSet<&Account> = counters.iter().map(|(_, account, _)| account).collect();
        let is_over = |account: &Account, page: &Page| {
            !open.contains(account) && page.settled == page.counted
        };
        let over: Vec<Account> = self
            .pages
            .iter()
            .filter(|(account, page)| is_over(account, page))
            .map(|(account, _)| account.clone())
            .collect();
        for account in over {
            self.parting += self.take(&account);
            if let Some(page) = self.pages.remove(&account) {
                self.told -= page.told;
                // What it was not told of was lost on the way.
                let mut rest = page.missing().saturating_sub(page.told);
                let mut part_of = |lost: &mut u64| {
                    let part = rest.min(*lost);
                    *lost -= part;
                    rest -= part;
                    part
                };
                part_of(&mut self.lost);
                self.lost_due += part_of(&mut self.ripening) + part_of(&mut self.fresh);
            }
        }
    }

    /// All readings are in, and nothing is under way any more.
    pub fn settle(&mut self) {
        self.settle_pages();
        let claimed = std::mem::take(&mut self.ripening) + std::mem::take(&mut self.fresh);
        self.confirm(claimed);
    }

    fn settle_pages(&mut self) {
        self.pages
            .values_mut()
            .for_each(|page| page.settled = page.counted);
    }

    /// Packets that were handed on but got lost before the reader.
    pub fn lost(&mut self, count: u64) {
        self.fresh += count;
    }

    /// What is missing and has not been told yet.
    fn untold(&self) -> u64 {
        let missing: u64 = self.pages.values().map(Page::missing).sum();
        missing.saturating_sub(self.lost).saturating_sub(self.told)
    }

    fn confirm(&mut self, claimed: u64) {
        let lost = if self.is_read {
            claimed.min(self.untold())
        } else {
            // The counters could never be read.
            claimed
        };
        self.lost += lost;
        self.lost_due += lost;
    }

    /// Packets that got lost before the reader and have not been told of; they count as told from now on.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost_due)
    }

    /// Whether packets were lost of which the number is not known yet. Until it is, nothing is said to be suppressed.
    pub fn set_gap(&mut self, is_open: bool) {
        self.is_gap_open = is_open;
    }

    /// Whether there is such a gap.
    pub fn has_gap(&self) -> bool {
        self.is_gap_open
    }

    /// Packets of an account that were dropped and neither received nor told of yet; they count as told from now on.
    pub fn take_suppressed(&mut self, account: &Account) -> u64 {
        if self.is_gap_open {
            0
        } else {
            self.take(account)
        }
    }

    fn take(&mut self, account: &Account) -> u64 {
        let in_all = self.untold().saturating_sub(self.ripening + self.fresh);
        let Some(page) = self.pages.get_mut(account) else {
            return 0;
        };
        let count = page.missing().saturating_sub(page.told).min(in_all);
        page.told += count;
        self.told += count;
        count
    }

    /// The same of all accounts together, whether there is a gap or not.
    pub fn take_all_suppressed(&mut self) -> u64 {
        let accounts: Vec<Account> = self.pages.keys().cloned().collect();
        let open: u64 = accounts.iter().map(|account| self.take(account)).sum();
        open + std::mem::take(&mut self.parting)
    }
}
