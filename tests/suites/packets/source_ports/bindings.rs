//! What is bound stays, whoever comes and goes.

use netpol_tests::lab::{
    Expect, Lab, Place, PodSpec, Probe, Signal, Topology, Transport, privileged,
};

use super::{NODE, forge, guarded, listing, start, until, verdicts};
use crate::world::{CALLER, NEAR, POLICIES, STRANGER, addresses, at, check, eventually, objects};

#[test]
fn who_takes_anothers_address_later_gains_nothing() {
    if !privileged("who_takes_anothers_address_later_gains_nothing") {
        return;
    }
    let (mut lab, folder) = guarded(Topology::Bridge, &[]);
    check(&mut lab, &verdicts());
    let before = listing(&lab);
    let take = |lab: &Lab, what: &str| {
        let netns = lab.host(&at(STRANGER)).expect("a pod").netns();
        let [v4, v6] = addresses(CALLER);
        let lines =
            format!("address {what} {v4}/32 dev eth0\naddress {what} {v6}/128 dev eth0 nodad\n");
        netns.ip(&lines).unwrap_or_else(|error| panic!("{error}"));
    };
    let forged: Vec<Probe> = addresses(NEAR)
        .into_iter()
        .zip(addresses(CALLER))
        .map(|(to, source)| {
            let probe = Probe::new(&at(STRANGER), to, Transport::Tcp(80));
            probe.source(source).expect(Expect::Silence)
        })
        .collect();
    take(&lab, "add");
    check(&mut lab, &forged);
    check(&mut lab, &verdicts());
    // Not while there is no agent, nor from the one that comes after it.
    lab.stop_agent(NODE, Signal::SIGKILL)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(listing(&lab), before);
    check(&mut lab, &forged);
    start(&mut lab, &folder, &[]);
    check(&mut lab, &forged);
    check(&mut lab, &verdicts());
    assert_eq!(listing(&lab), before);
    // Not even where the table had gone: the forger has an address of its own.
    let node = lab.host(&Place::node(NODE)).expect("a node").netns();
    node.nft("delete table bridge netpol\n")
        .unwrap_or_else(|error| panic!("{error}"));
    until(&lab, "the table is back", |listing| listing == before);
    check(&mut lab, &forged);
    lab.stop_agent(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    let node = lab.host(&Place::node(NODE)).expect("a node").netns();
    node.nft("delete table bridge netpol\n")
        .unwrap_or_else(|error| panic!("{error}"));
    start(&mut lab, &folder, &[]);
    until(&lab, "everybody is bound", |listing| listing == before);
    lab.await_log(NODE, "forged: an address of this pod")
        .unwrap_or_else(|error| panic!("{error}"));
    check(&mut lab, &verdicts());
}

/// As when a pod is deleted, and its address soon given out again.
#[test]
fn an_address_goes_to_the_next_pod() {
    const NEXT: &str = "conn/next";
    if !privileged("an_address_goes_to_the_next_pod") {
        return;
    }
    let (mut lab, folder) = guarded(Topology::Bridge, &[]);
    check(&mut lab, &verdicts());
    lab.remove_pod(CALLER)
        .unwrap_or_else(|error| panic!("{error}"));
    let next = PodSpec {
        key: NEXT.to_owned(),
        node: NODE.to_owned(),
        addresses: addresses(CALLER).to_vec(),
    };
    lab.add_pods(vec![next])
        .unwrap_or_else(|error| panic!("{error}"));
    let text = (objects() + POLICIES).replace("name: caller,", "name: next,");
    std::fs::write(folder.join("world.yaml"), text).expect("a file");
    let probes: Vec<Probe> = addresses(NEAR)
        .into_iter()
        .map(|to| Probe::new(&at(NEXT), to, Transport::Tcp(80)))
        .collect();
    eventually(&mut lab, "the next pod is heard", &probes);
    let arrived = forge(&lab, STRANGER, &addresses(CALLER), NEAR, 20_400);
    assert_eq!(arrived, Vec::<String>::new());
}

/// A node without bridges has no such table, and one whose pods have gone has it no more.
#[test]
fn the_table_is_there_only_where_it_is_needed() {
    if !privileged("the_table_is_there_only_where_it_is_needed") {
        return;
    }
    let (mut lab, _) = guarded(Topology::RoutedVeth, &[]);
    check(&mut lab, &verdicts());
    assert_eq!(listing(&lab), "");
    let (lab, folder) = guarded(Topology::Bridge, &[]);
    assert!(listing(&lab).contains("set bound4"));
    let rest = objects().replace("nodeName: node-a", "nodeName: node-b");
    std::fs::write(folder.join("world.yaml"), rest + POLICIES).expect("a file");
    until(&lab, "no pod is here", str::is_empty);
}

/// What the rules say, as `nft` reads them.
const RULES: &str = r#"
	chain ports {
		type filter hook prerouting priority dstnat; policy accept;
		meta iifkind != "veth" accept
		iif @passages accept
		vlan id 0 goto tagged
		ether type 8021ad vlan id 0 goto tagged
		ip saddr @guarded4 iif . ip saddr != @bound4 goto forged
		ip6 saddr @guarded6 iif . ip6 saddr != @bound6 goto forged
		arp saddr ip @guarded4 iif . arp saddr ip != @bound4 goto forged-neighbour
		icmpv6 type nd-router-advert iif @pods goto forged-neighbour
		icmpv6 type nd-neighbor-advert @th,64,128 @guarded6 iif . @th,64,128 != @bound6 goto forged-neighbour
	}

	chain forged {
		limit rate 100/second burst 500 packets log prefix "netpol/egress/forged-source" group 9808 snaplen 128
		counter name "forged" drop
	}

	chain forged-neighbour {
		counter name "forged-neighbour" drop
	}

	chain tagged {
		counter name "tagged" drop
	}
}
"#;

/// Whatever another program does to the table is undone, and `netpol verify` sees it until then.
#[test]
fn the_table_is_kept_as_it_should_be() {
    if !privileged("the_table_is_kept_as_it_should_be") {
        return;
    }
    let (mut lab, folder) = guarded(Topology::Bridge, &[]);
    let right = listing(&lab);
    // Newer nft has a name for the target of an advertisement.
    let read = right.replace("icmpv6 taddr", "@th,64,128");
    assert!(read.ends_with(RULES), "{right}");
    let [caller, _] = addresses(CALLER);
    let bound = right
        .lines()
        .find(|line| line.contains(&format!("\" . {caller}")));
    let port = bound
        .and_then(|line| line.split('"').nth(1))
        .expect("a port")
        .to_owned();
    let verify = |lab: &Lab| {
        let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
        let binary = netpol_tests::lab::netpol_binary().expect("a binary");
        // Its exit code is a failure where something differs.
        let command = format!(
            "{} verify --node {NODE} -f {} || true",
            binary.display(),
            folder.display()
        );
        let said = netns.run(&["sh", "-c", &command], "");
        said.unwrap_or_else(|error| panic!("{error}"))
    };
    let edits = [
        format!("delete element bridge netpol bound4 {{ \"{port}\" . {caller} }}"),
        format!("add element bridge netpol bound4 {{ \"cni0\" . {caller} }}"),
        "add element bridge netpol guarded4 { 192.0.2.1 }".to_owned(),
        "flush chain bridge netpol forged".to_owned(),
        "insert rule bridge netpol ports accept".to_owned(),
        "add chain bridge netpol more".to_owned(),
        "add set bridge netpol more { type mark; }".to_owned(),
        "flush set bridge netpol pods".to_owned(),
        "add table bridge netpol { flags dormant; }".to_owned(),
        "delete table bridge netpol".to_owned(),
        "flush ruleset".to_owned(),
    ];
    for edit in &edits {
        let node = lab.host(&Place::node(NODE)).expect("a node").netns();
        node.nft(&format!("{edit}\n"))
            .unwrap_or_else(|error| panic!("{error}"));
        until(&lab, edit, |listing| listing == right);
    }
    lab.stop_agent(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    // Without an agent nobody undoes it.
    let differs = |lab: &Lab| verify(lab).contains("bridge netpol");
    assert!(!differs(&lab), "{}", verify(&lab));
    for edit in &edits {
        let node = lab.host(&Place::node(NODE)).expect("a node").netns();
        node.nft(&format!("{edit}\n"))
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(differs(&lab), "{edit}: {}", verify(&lab));
        start(&mut lab, &folder, &[]);
        until(&lab, edit, |listing| listing == right);
        lab.stop_agent(NODE, Signal::SIGTERM)
            .unwrap_or_else(|error| panic!("{error}"));
    }
}
