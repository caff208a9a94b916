//! Two agents started on one node by mistake: the second leaves all to the first, and says why.

use std::path::Path;
use std::time::Duration;

use netpol_agent::node_lock::GRACE;
use netpol_tests::lab::{Agent, Expect, Lab, Place, Signal, Topology, netpol_binary, privileged};

use crate::flow_log_ground::{
    NODE, agent, arguments, await_first, awaited, netpol, put, send, start, world,
};
use crate::flow_log_replaced::from;
use crate::ledger;
use crate::world::{NEAR, POLICIES, STRANGER, eventually, objects};

const WAITS: &str = "another agent holds this node; waiting";

/// One more agent on the node, which waits.
fn another(lab: &Lab, name: &str, folder: &Path, more: &[&str]) -> Agent {
    let agent = lab
        .start_another_agent(NODE, name, &arguments(folder, more))
        .unwrap_or_else(|error| panic!("{error}"));
    agent
        .await_log(WAITS)
        .unwrap_or_else(|error| panic!("{error}"));
    agent
}

/// Removes the rules as somebody who sees the node's processes, or only those of a container; says what came of it.
fn cleanup(lab: &Lab, launcher: &[&str]) -> String {
    let binary = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let binary = binary.display().to_string();
    let command = [launcher, &[&binary, "cleanup"]].concat();
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    match netns.run(&command, "") {
        Ok(said) => said,
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_second_refuses() {
    if !privileged("the_second_refuses") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    start(&mut lab, &folder, &[]);
    let first = format!("process {} (netpol)", agent(&lab).pid());
    let mut second = another(&lab, "second", &folder, &[]);
    let mut third = another(&lab, "third", &folder, &[]);
    let mut stopped = another(&lab, "stopped", &folder, &[]);
    let status = stopped.stop(Signal::SIGTERM);
    let status = status.unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "{status}: {}", stopped.log());
    assert!(stopped.log().contains("stopped"), "{}", stopped.log());

    // Nobody else may remove the rules either, and the first goes on with its work.
    let said = cleanup(&lab, &[]);
    assert!(said.contains("stop the agent of this node first"), "{said}");
    assert!(said.contains(&first), "{said}");
    let said = cleanup(&lab, &["unshare", "--pid", "--fork", "--mount-proc"]);
    assert!(said.contains("cannot be seen from here"), "{said}");
    assert!(!said.contains("(netpol)"), "{said}");
    let nobody = POLICIES.replace("role: caller", "role: nobody");
    put(&folder, &(objects() + &nobody));
    let closed = from(Expect::Silence, Expect::Silence);
    eventually(&mut lab, "nobody may", &closed);
    for agent in [&mut second, &mut third] {
        let status = agent.wait_end(GRACE + Duration::from_secs(30));
        let status = status.unwrap_or_else(|error| panic!("{error}"));
        let log = agent.log();
        assert_eq!(status.code(), Some(1), "{log}");
        let lines: Vec<&str> = log.lines().collect();
        let [waits, refuses] = lines.as_slice() else {
            panic!("neither more nor less is said than two things:\n{log}")
        };
        assert!(waits.contains(&first), "{waits}");
        for words in ["ERROR", "another agent", &first, "DaemonSet"] {
            assert!(refuses.contains(words), "no {words}: {refuses}");
        }
    }
    put(&folder, &(objects() + POLICIES));
    let as_before = from(Expect::Answer, Expect::Silence);
    eventually(&mut lab, "as before", &as_before);
    send(&lab, STRANGER, NEAR, [5001]);
    await_first(agent(&lab).flow_file(), 5001);
    let undone = ledger::metric(&lab, NODE, "netpol_repairs_total", &[]);
    assert_eq!(undone, 0, "{}", agent(&lab).log());

    // However the first ends, the next need not wait.
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let before = agent(&lab).log().len();
        lab.stop_agent(NODE, signal)
            .unwrap_or_else(|error| panic!("{error}"));
        start(&mut lab, &folder, &[]);
        let log = agent(&lab).log().split_off(before);
        assert!(!log.contains(WAITS), "after {signal}: {log}");
    }
    lab.stop_agent(NODE, Signal::SIGKILL)
        .unwrap_or_else(|error| panic!("{error}"));
    let said = netpol(&lab, &["cleanup"]);
    assert!(said.starts_with("removed table inet netpol"), "{said}");
}

/// As when a pod of a `DaemonSet` is replaced while the old one is still ending.
#[test]
fn the_next_waits_for_the_first_to_end() {
    if !privileged("the_next_waits_for_the_first_to_end") {
        return;
    }
    let (mut lab, folder) = world(Topology::Bridge);
    start(&mut lab, &folder, &[]);
    let mut next = another(&lab, "next", &folder, &[]);
    lab.stop_agent(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    next.wait_ready(netns)
        .unwrap_or_else(|error| panic!("{error}"));
    send(&lab, STRANGER, NEAR, [5001]);
    await_first(next.flow_file(), 5001);
    awaited("it says so once", || {
        (next.log().matches(WAITS).count() == 1).then_some(())
    });
}
