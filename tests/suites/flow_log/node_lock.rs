//! The lock that makes an agent the only one of its node, which is a group that nobody reads.

use std::time::Instant;

use netpol_agent::flow_log::kernel::NflogError;
use netpol_agent::node_lock::{GROUP, LockError, NodeLock};
use netpol_tests::lab::{Netns, privileged};

use crate::ground::{PATIENCE, again_without_net_admin};

fn take(netns: &Netns) -> Result<NodeLock, LockError> {
    netns.call(NodeLock::take).expect("a namespace")
}

#[test]
fn each_network_namespace_has_one() {
    if !privileged("each_network_namespace_has_one") {
        return;
    }
    let [here, elsewhere] = ["here", "elsewhere"].map(|name| Netns::new(name).expect(name));
    let held = take(&here).expect("it is free");
    for _ in 0..2 {
        match take(&here) {
            Err(LockError::Held { holder }) => {
                let (pid, _) = holder.process.expect("it can be seen");
                assert_eq!(pid, std::process::id());
            }
            other => panic!("{other:?}"),
        }
    }
    let other = take(&elsewhere).expect("it is another");
    drop(held);
    // A process that another test is just starting has our files until it runs its program.
    let deadline = Instant::now() + PATIENCE;
    let again = loop {
        match take(&here) {
            Ok(again) => break again,
            Err(error) => assert!(Instant::now() < deadline, "it is never free again: {error}"),
        }
    };
    drop((other, again));
}

/// This test runs itself once more as root without `CAP_NET_ADMIN`, which cannot have a lock that is free.
#[test]
fn it_takes_a_capability() {
    const INSIDE: &str = "NETPOL_TEST_LOCK_WITHOUT_NET_ADMIN";
    if !privileged("it_takes_a_capability") {
        return;
    }
    if std::env::var_os(INSIDE).is_some() {
        let netns = Netns::new("forbidden").expect("a namespace");
        match take(&netns) {
            Err(LockError::Unavailable(NflogError::NotPermitted { group: GROUP })) => return,
            other => panic!("{other:?}"),
        }
    }
    again_without_net_admin("node_lock::it_takes_a_capability", INSIDE);
}
