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
    books
        .read(&counters, &received, true)
        .into_values()
        .collect()
}

#[test]
fn what_was_there_before_is_nobodys_business() {
    let named = |value| [("a".to_owned(), account("a"), value)];
    let mut books = Books::default();
    books.begin_at(&named(500));
    books.begin_at(&named(1000));
    assert_eq!(read(&mut books, &[("a", 1010)], &[("a", 10)]), [10]);
    books.counters_begin_anew();
    assert_eq!(read(&mut books, &[("a", 1500)], &[("a", 1500)]), [1500]);
    books.settle();
    assert_eq!(books.take_all_suppressed(), 0);
}

#[test]
fn the_counter_of_another_table_goes_on() {
    let mut books = Books::default();
    let charged = |books: &mut Books, value| {
        let counter = (FORGED_AT_PORTS.to_owned(), account("a"), value);
        let charges = books.read(&[counter], &[], true);
        charges.into_values().sum::<u64>()
    };
    assert_eq!(charged(&mut books, 7), 7);
    books.counters_begin_anew();
    assert_eq!(charged(&mut books, 9), 2);
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
    assert_eq!((books.take_all_suppressed(), books.take_lost()), (0, 20));
}

#[test]
fn what_is_found_to_be_lost_late_is_told_once() {
    // Counted are 100, received 60; 25 were lost, which is learned after the 40 were told as suppressed or before.
    for (told_before, suppressed, lost) in [(true, 40, 0), (false, 15, 25)] {
        let mut books = Books::default();
        read(&mut books, &[], &[]);
        read(&mut books, &[("a", 100)], &[("a", 60)]);
        read(&mut books, &[("a", 100)], &[]);
        books.set_gap(true);
        assert_eq!(books.take_suppressed(&account("a")), 0, "it may be lost");
        let mut told = if told_before {
            books.take_all_suppressed()
        } else {
            0
        };
        books.lost(25);
        books.set_gap(false);
        assert_eq!(books.take_lost(), 0, "what it is part of has not settled");
        told += books.take_suppressed(&account("a"));
        for _ in 0..2 {
            read(&mut books, &[("a", 100)], &[]);
        }
        told += books.take_suppressed(&account("a"));
        assert_eq!((told, books.take_lost()), (suppressed, lost));
        books.settle();
        assert_eq!((books.take_all_suppressed(), books.take_lost()), (0, 0));
    }
}

#[test]
fn nothing_is_missing_while_the_reader_is_behind() {
    let mut books = Books::default();
    let counters = [("a".to_owned(), account("a"), 100)];
    read(&mut books, &[("a", 0)], &[]);
    for _ in 0..3 {
        books.read(&counters, &[(account("a"), 20)], false);
        assert_eq!(books.take_suppressed(&account("a")), 0);
    }
    books.read(&counters, &[(account("a"), 30)], true);
    assert_eq!(books.take_suppressed(&account("a")), 10);
}

#[test]
fn what_a_closed_account_lost_is_told() {
    let mut books = Books::default();
    read(&mut books, &[("a", 0)], &[]);
    read(&mut books, &[("a", 100)], &[("a", 60)]);
    books.lost(25);
    for _ in 0..3 {
        read(&mut books, &[], &[]);
    }
    assert!(books.pages.is_empty());
    assert_eq!((books.take_all_suppressed(), books.take_lost()), (15, 25));
    assert_eq!((books.lost, books.ripening, books.fresh), (0, 0, 0));
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
