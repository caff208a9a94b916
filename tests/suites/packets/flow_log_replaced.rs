//! An agent that is replaced: the next one waits until it ends, and then tells what is dropped.

use netpol_agent::flow_log::kernel::nflog::{Nflog, NflogSettings, RECEIVE_BUFFER};
use netpol_tests::lab::{Expect, Lab, Place, Probe, Signal, Topology, Transport, privileged};
use policy_compiler::ruleset::DropLog;

use crate::flow_log_ground::{
    NODE, agent, arguments, await_first, await_metric, awaited, metric, put, send, start, world,
};
use crate::world::{CALLER, NEAR, POLICIES, STRANGER, addresses, at, check, eventually, objects};

const UP: &str = "netpol_flow_log_up";

/// Probes of the near callee by two pods that may, or may not, talk to it.
pub(crate) fn from(caller: Expect, stranger: Expect) -> Vec<Probe> {
    let [near, _] = addresses(NEAR);
    [(CALLER, caller), (STRANGER, stranger)]
        .map(|(pod, expect)| Probe::new(&at(pod), near, Transport::Tcp(80)).expect(expect))
        .into()
}

#[test]
fn the_next_agent_takes_over() {
    if !privileged("the_next_agent_takes_over") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    start(&mut lab, &folder, &[]);
    let mut next = lab
        .start_another_agent(NODE, "next", &arguments(&folder, &[]))
        .unwrap_or_else(|error| panic!("{error}"));
    next.await_log("another agent holds this node; waiting")
        .unwrap_or_else(|error| panic!("{error}"));
    send(&lab, STRANGER, NEAR, [5001]);
    await_first(agent(&lab).flow_file(), 5001);
    let nobody = POLICIES.replace("role: caller", "role: nobody");
    let closed = from(Expect::Silence, Expect::Silence);
    let open = from(Expect::Answer, Expect::Silence);
    put(&folder, &(objects() + &nobody));
    eventually(&mut lab, "nobody may", &closed);
    put(&folder, &(objects() + POLICIES));
    eventually(&mut lab, "as at first", &open);

    let (status, told) = lab
        .stop_agent_with_flows(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success() && told.contains("5001"), "{status} {told}");
    check(&mut lab, &open);
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    next.wait_ready(netns)
        .unwrap_or_else(|error| panic!("{error}"));
    check(&mut lab, &open);
    awaited("the next gets the group", || {
        (metric(&lab, &next, UP) == 1).then_some(())
    });
    send(&lab, STRANGER, NEAR, [5002]);
    await_first(next.flow_file(), 5002);
    assert!(
        !next.flow_lines().contains("5001"),
        "that was the first's to tell"
    );
    let mismatches = metric(&lab, &next, "netpol_flow_log_mismatches_total");
    assert_eq!(mismatches, 0, "{}", next.flow_lines());
    put(&folder, &(objects() + &nobody));
    eventually(&mut lab, "the next alone", &closed);
}

/// The log's group in the node's namespace, as another program's.
fn take_group(lab: &Lab) -> Nflog {
    let DropLog { group, snaplen, .. } = DropLog::default();
    let settings = NflogSettings {
        group,
        snaplen,
        receive_buffer: RECEIVE_BUFFER,
    };
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    let taken = netns.call(move || Nflog::open(&settings));
    taken.expect("the node is there").expect("nobody has it")
}

#[test]
fn a_taken_group_is_waited_for() {
    if !privileged("a_taken_group_is_waited_for") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    let theirs = take_group(&lab);
    lab.start_agent(NODE, &arguments(&folder, &[]))
        .and_then(|()| lab.wait_ready(NODE))
        .and_then(|()| lab.await_log(NODE, "drops are not logged for now"))
        .unwrap_or_else(|error| panic!("{error}"));
    await_metric(&lab, UP, 0);
    // Policy is enforced all the same.
    check(&mut lab, &from(Expect::Answer, Expect::Silence));
    drop(theirs);
    await_metric(&lab, UP, 1);
    send(&lab, STRANGER, NEAR, [5001]);
    await_first(agent(&lab).flow_file(), 5001);
}
