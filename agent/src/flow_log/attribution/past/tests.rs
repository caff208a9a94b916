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
