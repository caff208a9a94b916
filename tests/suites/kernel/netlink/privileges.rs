//! What is said to who may not do everything.

use std::net::Ipv6Addr;
use std::process::Command;

use policy_compiler::ruleset::{Comment, Element, Family, Operation, SetKey, Transaction};

use super::Programmed;
use super::ground::ident;
use super::refusals::ground;

/// Tells a test that it was started anew, with fewer privileges.
pub(crate) const CHILD: &str = "NETPOL_TEST_CHILD";

/// Runs the test of this name in a process of its own, started by `launcher`.
pub(crate) fn in_other_process(launcher: &[&str], test: &str) {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(launcher[0])
        .args(&launcher[1..])
        .arg(program)
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{launcher:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Elements of more bytes than go through a socket that is not privileged.
fn many_elements() -> Transaction {
    let limit = std::fs::read_to_string("/proc/sys/net/core/wmem_max").expect("a limit");
    // The kernel doubles what is asked for; an element has 28 bytes.
    let count = limit.trim().parse::<u128>().expect("a number") * 2 / 28 + 1;
    let all = (0..count).map(|i| Element::Address(Ipv6Addr::from(i).into()));
    let key = SetKey::Address(Family::V6);
    Transaction::new(vec![
        Operation::AddTable,
        Operation::AddSet(ident("many"), key, Comment::new("")),
        Operation::AddElements(ident("many"), all.collect()),
    ])
}

#[test]
fn without_the_capability_it_says_so() {
    const TEST: &str = "netlink::privileges::without_the_capability_it_says_so";
    if std::env::var_os(CHILD).is_none() {
        return in_other_process(&["setpriv", "--bounding-set=-net_admin"], TEST);
    }
    let mut programmed = Programmed::new("forbidden").expect("a namespace");
    let refused = programmed.commit(&Transaction::new(ground()));
    let text = refused.expect_err("it may not").to_string();
    assert!(text.starts_with("not allowed to change nftables"), "{text}");
    let refused = programmed.has_table().expect_err("it may not");
    assert!(refused.to_string().starts_with("not allowed"), "{refused}");
}

/// Root only in a user namespace of its own cannot make the socket take more than anybody's.
#[test]
fn what_does_not_fit_through_the_socket_is_not_sent_in_parts() {
    const TEST: &str =
        "netlink::privileges::what_does_not_fit_through_the_socket_is_not_sent_in_parts";
    if std::env::var_os(CHILD).is_none() {
        return in_other_process(&["unshare", "--user", "--map-root-user"], TEST);
    }
    let mut programmed = Programmed::new("narrow").expect("a namespace");
    programmed
        .commit(&Transaction::new(ground()))
        .expect("committed");
    let refused = programmed.commit(&many_elements());
    let text = refused.expect_err("too large").to_string();
    assert!(text.contains("does not fit"), "{text}");
    let listing = programmed.netns.run(&["nft", "list", "sets"], "");
    assert!(!listing.expect("a listing").contains("many"));
}
