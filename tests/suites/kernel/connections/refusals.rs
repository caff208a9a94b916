//! What is said to who may not ask.

use netpol_agent::conntrack::Conntrack;
use netpol_tests::lab::Netns;

use crate::netlink::privileges::{CHILD, in_other_process};

#[test]
fn without_the_capability_it_says_what_to_do() {
    const TEST: &str = "connections::refusals::without_the_capability_it_says_what_to_do";
    if std::env::var_os(CHILD).is_none() {
        return in_other_process(&["setpriv", "--bounding-set=-net_admin"], TEST);
    }
    let netns = Netns::new("forbidden").expect("a namespace");
    let refused = netns.call(Conntrack::open).expect("alive");
    let text = refused.expect_err("it may not").to_string();
    assert!(text.contains("NET_ADMIN"), "{text}");
}
