//! How pods hang on the node.

use netpol_tests::lab::privileged;

use super::{CALLS, World, about, assert_found, assert_well, findings, findings_of, switch};

/// The finding is held to what packets do: where it says that they are not seen, they pass a table that drops all.
#[test]
fn a_bridge_is_told_as_packets_meet_it() {
    if !privileged("a_bridge_is_told_as_packets_meet_it") {
        return;
    }
    let world = World::new(Some("cni0"));
    let node = &world.node;
    node.nft("table ip drops { chain f { type filter hook forward priority 0; policy drop; }; }")
        .expect("loaded");
    let per_bridge = |on: &str| {
        let [v4, v6] = ["nf_call_iptables", "nf_call_ip6tables"];
        node.ip(&format!("link set cni0 type bridge {v4} {on} {v6} {on}\n"))
            .expect("a bridge");
    };
    for (everywhere, own, level, words) in [
        ("0", "0", "error", "no policy holds"),
        ("1", "0", "ok", "are shown to netfilter"),
        ("0", "1", "ok", "are shown to netfilter"),
    ] {
        switch(node, everywhere);
        per_bridge(own);
        assert_found(&findings(node), "pods", Some("cni0"), level, words);
        assert_eq!(world.is_reached(), level == "error", "{everywhere} {own}");
    }
    per_bridge("0");
    node.sysctl(&[(CALLS[0], "1"), (CALLS[1], "0")])
        .expect("set");
    assert_found(
        &findings(node),
        "pods",
        Some("cni0"),
        "error",
        "IPv6 packets",
    );

    // Where nothing may be set, as in a container, that is said and nothing is set.
    let read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
    let option = "--enable-bridge-netfilter";
    let found = findings_of(node, read_only, option);
    assert_found(
        &found,
        "bridges",
        None,
        "warning",
        "privileged init container",
    );
    assert_found(&found, "pods", Some("cni0"), "error", "sysctl -w");
    let found = findings_of(node, "", option);
    assert_found(&found, "bridges", None, "ok", "are 1 now");
    assert_found(&found, "pods", Some("cni0"), "ok", "are shown");
    assert_well(&findings(node));
    assert!(!world.is_reached());
}

#[test]
fn containers_that_are_no_pods_and_single_ones_are_warned_of() {
    if !privileged("containers_that_are_no_pods_and_single_ones_are_warned_of") {
        return;
    }
    let docker = World::new(Some("docker0"));
    switch(&docker.node, "0");
    let found = findings(&docker.node);
    assert_found(
        &found,
        "pods",
        Some("docker0"),
        "warning",
        "if they are pods",
    );
    let single = World::new(Some("cni0"));
    switch(&single.node, "0");
    single.node.ip("link del pod2\n").expect("unplugged");
    let found = findings(&single.node);
    assert_found(
        &found,
        "pods",
        Some("cni0"),
        "warning",
        "as soon as there are two",
    );
}

#[test]
fn routed_pods_want_forwarding() {
    if !privileged("routed_pods_want_forwarding") {
        return;
    }
    let world = World::new(None);
    let node = &world.node;
    switch(node, "0");
    let found = findings(node);
    assert_found(&found, "pods", None, "ok", "2 veth links");
    assert_well(&found);
    let off = [
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv6/conf/all/forwarding", "0"),
    ];
    node.sysctl(&off).expect("set");
    let found = findings(node);
    assert_found(
        &found,
        "forwarding",
        Some("IPv4"),
        "warning",
        "ip_forward is 0",
    );
    assert_eq!(
        about(&found, "forwarding", Some("IPv6")),
        None,
        "no pod has IPv6"
    );
    node.ip("route add fd00:99::1/128 dev pod1\n")
        .expect("a route");
    let found = findings(node);
    assert_found(
        &found,
        "forwarding",
        Some("IPv6"),
        "warning",
        "forwarding is 0",
    );
    node.ip("link add mac0 link pod1 type macvlan\n")
        .expect("a link");
    let found = findings(node);
    assert_found(&found, "pods", Some("mac0"), "warning", "bypass netfilter");
}
