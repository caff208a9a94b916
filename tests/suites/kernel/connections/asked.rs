//! What is asked for is what comes.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netpol_agent::conntrack::{Connection, Which, own_addresses};
use netpol_tests::lab::{Tracked, privileged, track};

use super::ground::{Ground, ROUTER};
use super::reading::{TCP, UDP, ip};

#[test]
fn what_is_asked_for_is_what_the_whole_list_has_of_it() {
    if !privileged("what_is_asked_for_is_what_the_whole_list_has_of_it") {
        return;
    }
    let ground = Ground::new();
    let v4 = |host: u16| -> IpAddr { [10, 9, 0, u8::try_from(host).unwrap_or(255)].into() };
    let v6 = |host: u16| -> IpAddr { format!("fd09::{host}").parse().expect("an address") };
    let entries = |address: fn(u16) -> IpAddr| {
        let hosts = (1..20).flat_map(|from| (1..20).map(move |to| (from, to)));
        hosts.map(move |(from, to)| Tracked {
            source: SocketAddr::new(address(from), 1000 + to),
            destination: SocketAddr::new(address(200), 100),
            backend: (to % 3 > 0).then(|| SocketAddr::new(address(to), 8080)),
            protocol: if to % 2 == 0 { TCP } else { UDP },
            master: None,
        })
    };
    // Before there is anything of IPv6, too: it is found out how the kernel filters that when there is.
    let mut conntrack = ground.conntrack();
    for (families, filled) in [(0, v4 as fn(u16) -> IpAddr), (1, v6)] {
        let all = Which::Of([v4(3), v6(3)].into());
        conntrack.each(&all, |_| {}).expect("a list");
        let made = ground.router.call(move || track(entries(filled)));
        made.expect("alive").expect("made");
        let wanted = |hosts: &[u16]| -> BTreeSet<IpAddr> {
            let of = |&host| [v4(host), v6(host)].into_iter().take(families + 1);
            hosts.iter().flat_map(of).collect()
        };
        let many: Vec<u16> = (1..50).collect();
        for hosts in [&[][..], &[4], &[3], &[77], &[5, 7, 8], &[200], &many] {
            for which in [
                Which::Of(wanted(hosts)),
                Which::Of(hosts.iter().copied().map(filled).collect()),
            ] {
                let mut read = |asked: &Which| {
                    let mut found = BTreeSet::new();
                    let take = |c: Connection| {
                        if which.includes(&c) {
                            found.insert((c.original, c.reply));
                        }
                    };
                    conntrack.each(asked, take).expect("a list");
                    found
                };
                let (some, whole) = (read(&which), read(&Which::All));
                assert_eq!(some, whole, "{which:?}");
                let is_there = hosts.iter().any(|host| *host < 20 || *host == 200);
                assert_eq!(!whole.is_empty(), is_there, "{which:?}");
            }
        }
    }
}

#[test]
fn own_addresses_are_those_of_all_links() {
    if !privileged("own_addresses_are_those_of_all_links") {
        return;
    }
    let ground = Ground::new();
    let own = ground.router.call(own_addresses).expect("alive");
    let own = own.expect("a list");
    let expected = ["10.2.0.1", ROUTER, "fd02::1", "fd01::1"].map(ip);
    let global: BTreeSet<IpAddr> = own
        .into_iter()
        .filter(|address| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        })
        .collect();
    assert_eq!(global, expected.into());
}
