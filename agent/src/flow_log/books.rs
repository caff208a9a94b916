//! The books: every packet that a counter of the table counted is told once, as itself, as a repeat, as suppressed or as
//! lost.
//!
//! Counters tell how many packets were dropped, the reader how many of them reached it. What is missing was kept back by
//! the kernel's rate limit, or got lost on the way, of which the reader knows the number but not the pod.

use std::collections::{BTreeMap, HashMap, HashSet};

use policy_compiler::model::{Direction, ObjectKey};

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
    /// Pods' that are not known.
    Unknown,
}

/// A count that begins anew when what holds it does.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    last: u64,
    total: u64,
}

impl Meter {
    /// Returns what has been added.
    fn read(&mut self, value: u64) -> u64 {
        let added = value.checked_sub(self.last).unwrap_or(value);
        self.last = value;
        self.total += added;
        added
    }
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

/// The accounts of one node.
#[derive(Debug, Default)]
pub struct Books {
    counters: HashMap<String, Meter>,
    pages: BTreeMap<Account, Page>,
    lost: u64,
    told: u64,
    /// Owed by accounts that have been closed.
    parting: u64,
    opened: bool,
}

impl Books {
    /// Takes a reading of all counters, with the account of each, and what was received since the last reading, in parts
    /// if it came so. Returns what each account was newly charged. What the first reading finds is from before this agent's time.
    pub fn read(
        &mut self,
        counters: &[(String, Account, u64)],
        received: &[(Account, u64)],
    ) -> BTreeMap<Account, u64> {
        self.close_accounts(counters);
        self.settle();
        let mut charges = BTreeMap::new();
        for (name, account, value) in counters {
            let added = self.counters.entry(name.clone()).or_default().read(*value);
            if added > 0 && self.opened {
                self.pages.entry(account.clone()).or_default().counted += added;
                *charges.entry(account.clone()).or_default() += added;
            }
        }
        self.opened = true;
        for (account, added) in received {
            self.pages.entry(account.clone()).or_default().received += added;
        }
        charges
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
            self.parting += self.take_suppressed(&account);
            if let Some(page) = self.pages.remove(&account) {
                self.told -= page.told;
                // What it was not told of was lost on the way.
                let lost = page.missing().saturating_sub(page.told);
                self.lost = self.lost.saturating_sub(lost);
            }
        }
    }

    /// All readings are in, and nothing is under way any more.
    pub fn settle(&mut self) {
        self.pages
            .values_mut()
            .for_each(|page| page.settled = page.counted);
    }

    /// Packets that were handed on but got lost before the reader.
    pub fn lost(&mut self, count: u64) {
        self.lost += count;
    }

    /// Packets of an account that were dropped and neither received nor told of yet; they count as told from now on.
    pub fn take_suppressed(&mut self, account: &Account) -> u64 {
        let missing: u64 = self.pages.values().map(Page::missing).sum();
        let in_all = missing.saturating_sub(self.lost).saturating_sub(self.told);
        let Some(page) = self.pages.get_mut(account) else {
            return 0;
        };
        let count = page.missing().saturating_sub(page.told).min(in_all);
        page.told += count;
        self.told += count;
        count
    }

    /// The same of all accounts together.
    pub fn take_all_suppressed(&mut self) -> u64 {
        let accounts: Vec<Account> = self.pages.keys().cloned().collect();
        let open: u64 = accounts
            .iter()
            .map(|account| self.take_suppressed(account))
            .sum();
        open + std::mem::take(&mut self.parting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account {
            of: Payer::Pod(name.parse().expect("a key")),
            direction: Direction::Ingress,
        }
    }

    /// Counters and receipts by pod.
    fn read(books: &mut Books, counters: &[(&str, u64)], received: &[(&str, u64)]) -> Vec<u64> {
        let counters: Vec<_> = counters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), account(name), *value))
            .collect();
        let received: Vec<_> = received
            .iter()
            .map(|(name, value)| (account(name), *value))
            .collect();
        books.read(&counters, &received).into_values().collect()
    }

    #[test]
    fn what_was_there_before_is_nobodys_business() {
        let mut books = Books::default();
        assert!(read(&mut books, &[("a", 1000)], &[]).is_empty());
        assert_eq!(read(&mut books, &[("a", 1010)], &[("a", 10)]), [10]);
        books.settle();
        assert_eq!(books.take_all_suppressed(), 0);
    }

    #[test]
    fn what_is_on_its_way_is_not_suppressed() {
        let mut books = Books::default();
        read(&mut books, &[], &[]);
        read(&mut books, &[("a", 100)], &[("a", 30)]);
        assert_eq!(books.take_suppressed(&account("a")), 0);
        read(&mut books, &[("a", 100)], &[("a", 10)]);
        assert_eq!(books.take_suppressed(&account("a")), 60);
        assert_eq!(books.take_suppressed(&account("a")), 0);
    }

    #[test]
    fn what_was_lost_is_not_suppressed_as_well() {
        let mut books = Books::default();
        read(&mut books, &[], &[]);
        read(
            &mut books,
            &[("a", 100), ("b", 50)],
            &[("a", 60), ("b", 40)],
        );
        books.lost(20);
        books.settle();
        let (a, b) = (
            books.take_suppressed(&account("a")),
            books.take_suppressed(&account("b")),
        );
        assert_eq!(a + b, 30, "of 50 that are missing, 20 were lost");
        assert_eq!(books.take_all_suppressed(), 0);
    }

    #[test]
    fn counters_that_begin_anew_go_on() {
        let mut books = Books::default();
        read(&mut books, &[("a", 0)], &[]);
        assert_eq!(read(&mut books, &[("a", 70)], &[("a", 10)]), [70]);
        assert_eq!(read(&mut books, &[("a", 5)], &[("a", 2)]), [5]);
        books.settle();
        assert_eq!(books.take_all_suppressed(), 75 - 12);
    }

    #[test]
    fn accounts_are_closed_with_everything_told() {
        let mut books = Books::default();
        read(&mut books, &[("a", 0)], &[]);
        for round in 0..1000 {
            let name = format!("pod-{round}");
            read(&mut books, &[(&name, 9)], &[(&name, 2)]);
        }
        for _ in 0..2 {
            read(&mut books, &[], &[]);
        }
        assert!(books.pages.is_empty() && books.counters.is_empty());
        assert_eq!(books.take_all_suppressed(), 7000);
        assert_eq!((books.told, books.take_all_suppressed()), (0, 0));
    }

    #[test]
    fn lives_of_one_name_are_added_up() {
        let mut books = Books::default();
        read(&mut books, &[("a", 0)], &[]);
        read(&mut books, &[("a", 10)], &[("a", 3), ("a", 4)]);
        read(&mut books, &[("a", 20)], &[("a", 10)]);
        books.settle();
        assert_eq!(books.take_all_suppressed(), 3);
    }
}
