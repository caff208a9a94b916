//! A node on which rules are not met by packets: its agent writes them all the same, is not ready, and notices when it is
//! repaired.

use std::fmt::Write as _;

use netpol_tests::lab::{Lab, Netns, Place, Topology, privileged};

use crate::flow_log_ground::{
    NODE, agent, arguments, await_metric, awaited, metric, netpol, start, world,
};

const CALLS: [&str; 2] = [
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
];
const ERRORS: &str = "netpol_node_findings{level=\"error\"}";

fn node(lab: &Lab) -> &Netns {
    lab.host(&Place::node(NODE)).expect("a node").netns()
}

fn switch(lab: &Lab, value: &'static str) {
    let settings = CALLS.map(|call| (call, value));
    let set = node(lab).sysctl(&settings);
    set.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_agent_whose_bridge_shows_nothing_is_not_ready_until_it_does() {
    if !privileged("an_agent_whose_bridge_shows_nothing_is_not_ready_until_it_does") {
        return;
    }
    let (mut lab, folder) = world(Topology::Bridge);
    switch(&lab, "0");
    lab.start_agent(NODE, &arguments(&folder, &[]))
        .unwrap_or_else(|error| panic!("{error}"));
    let reason = awaited("it writes the rules and is not ready", || {
        let (status, body) = lab.agent_get(NODE, "/readyz").ok()?;
        (status == 503 && body.contains("the rules are written")).then_some(body)
    });
    for words in ["bridge cni0", "no policy holds", "sysctl -w"] {
        assert!(reason.contains(words), "{reason}");
    }
    let table = node(&lab).run(&["nft", "list", "table", "inet", "netpol"], "");
    assert!(table.expect("a table").contains("forwarded-ingress"));
    assert_eq!(metric(&lab, agent(&lab), ERRORS), 1);
    let log = agent(&lab).log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let [error] = errors.as_slice() else {
        panic!("neither more nor less is said than one thing:\n{log}")
    };
    assert!(error.contains("bridge cni0"), "{error}");

    switch(&lab, "1");
    lab.wait_ready(NODE)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(metric(&lab, agent(&lab), ERRORS), 0);
    let told = lab.await_log(NODE, "are shown to netfilter");
    told.unwrap_or_else(|error| panic!("{error}"));
    let said = netpol(&lab, &["doctor", "--no-cluster"]);
    let running = format!("an agent runs here: process {}", agent(&lab).pid());
    assert!(said.contains(&running), "{said}");
}

/// A bridge may come when the agent has long been ready.
#[test]
fn what_is_plugged_in_later_is_looked_at() {
    if !privileged("what_is_plugged_in_later_is_looked_at") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    switch(&lab, "0");
    start(&mut lab, &folder, &[]);
    assert_eq!(metric(&lab, agent(&lab), ERRORS), 0);
    let pods = ["one", "two"].map(|name| Netns::new(name).expect("a namespace"));
    let mut lines = "link add br9 type bridge\nlink set br9 up\n".to_owned();
    for (number, pod) in pods.iter().enumerate() {
        let netns = pod.path().display().to_string();
        let _ = writeln!(
            lines,
            "link add late{number} type veth peer name eth0 netns {netns}"
        );
        let _ = writeln!(lines, "link set late{number} master br9 up");
    }
    node(&lab).ip(&lines).expect("plugged in");
    await_metric(&lab, ERRORS, 1);
    let (status, reason) = lab.agent_get(NODE, "/readyz").expect("an answer");
    assert_eq!(status, 503, "{reason}");
    assert!(reason.contains("bridge br9"), "{reason}");
    node(&lab).ip("link del late1\n").expect("unplugged");
    await_metric(&lab, ERRORS, 0);
    lab.wait_ready(NODE)
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_agent_may_be_told_to_make_its_bridge_show_packets() {
    if !privileged("an_agent_may_be_told_to_make_its_bridge_show_packets") {
        return;
    }
    let (mut lab, folder) = world(Topology::Bridge);
    switch(&lab, "0");
    start(&mut lab, &folder, &["--enable-bridge-netfilter"]);
    for call in CALLS {
        let path = format!("/proc/sys/{call}");
        let value = node(&lab).call(move || std::fs::read_to_string(path));
        let value = value.expect("a namespace").expect("a setting");
        assert_eq!(value.trim(), "1", "{call}");
    }
}
