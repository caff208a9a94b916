use super::*;

const ON: Bridged = Bridged {
    v4: Some(true),
    v6: Some(true),
};
const OFF: Bridged = Bridged {
    v4: Some(false),
    v6: Some(false),
};
const ABSENT: Bridged = Bridged { v4: None, v6: None };

fn bridge_link(name: &str, shows: [bool; 2]) -> Link {
    Link {
        index: 2,
        name: name.to_owned(),
        kind: "bridge".to_owned(),
        shows,
        ..Link::default()
    }
}

fn veth(index: u32, name: &str, master: Option<u32>) -> Link {
    Link {
        index,
        name: name.to_owned(),
        kind: "veth".to_owned(),
        master,
        leads_elsewhere: true,
        ..Link::default()
    }
}

fn bridge_with(name: &str, shows: [bool; 2], ports: u32) -> Vec<Link> {
    let ports = (0..ports).map(|i| veth(10 + i, &format!("veth{i}"), Some(2)));
    std::iter::once(bridge_link(name, shows))
        .chain(ports)
        .collect()
}

fn judged(links: &[Link], settings: Bridged) -> Vec<Finding> {
    judge(&Attachment::of(links), settings)
}

#[test]
fn a_bridge_is_judged_by_its_pods_and_settings() {
    let half = Bridged {
        v4: Some(true),
        v6: Some(false),
    };
    let rows = [
        ("cni0", [false; 2], 2, ON, Level::Ok, "are shown"),
        ("cni0", [false; 2], 2, OFF, Level::Error, "`sysctl -w"),
        (
            "cni0",
            [false; 2],
            2,
            ABSENT,
            Level::Error,
            "modprobe br_netfilter",
        ),
        (
            "cni0",
            [false; 2],
            2,
            half,
            Level::Error,
            "IPv6 packets between",
        ),
        ("cni0", [false, true], 2, half, Level::Ok, "are shown"),
        ("cni0", [true; 2], 2, OFF, Level::Ok, "are shown"),
        // Without the module a bridge's own switch moves nothing.
        ("cni0", [true; 2], 2, ABSENT, Level::Error, "modprobe"),
        ("cni0", [false; 2], 1, OFF, Level::Warning, "as soon as"),
        (
            "docker0",
            [false; 2],
            2,
            OFF,
            Level::Warning,
            "if they are pods",
        ),
        (
            "br-0123456789ab",
            [false; 2],
            2,
            OFF,
            Level::Warning,
            "if they are",
        ),
        (
            "br-pods",
            [false; 2],
            2,
            OFF,
            Level::Error,
            "no policy holds",
        ),
        ("cni0", [false; 2], 0, OFF, Level::Ok, "no pods"),
    ];
    for (name, shows, ports, settings, level, words) in rows {
        let findings = judged(&bridge_with(name, shows, ports), settings);
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!(finding.level, level, "{finding}");
        assert!(finding.to_string().contains(words), "{finding}");
        assert_eq!(
            finding.to_string().contains("modprobe"),
            level == Level::Error && settings == ABSENT
        );
    }
}

#[test]
fn only_ports_that_lead_elsewhere_are_pods() {
    let mut links = bridge_with("br0", [false; 2], 3);
    for port in &mut links[1..] {
        port.leads_elsewhere = false;
    }
    let findings = judged(&links, OFF);
    assert_eq!(
        findings,
        [Finding::ok(CHECK, "no pods hang on this node yet")]
    );
}

#[test]
fn other_links_are_told() {
    let of_kind = |kind: &str, name: &str| Link {
        index: 30,
        name: name.to_owned(),
        kind: kind.to_owned(),
        ..Link::default()
    };
    let mut switch = bridge_with("ovs-system", [false; 2], 2);
    switch[0].kind = "openvswitch".to_owned();
    let rows = [
        (vec![veth(4, "veth1", None)], Level::Ok, "routes to other"),
        (
            vec![veth(4, "veth1", Some(99))],
            Level::Ok,
            "routes to other",
        ),
        (
            vec![veth(4, "lxc1", None), veth(5, "cilium_host", None)],
            Level::Warning,
            "Cilium",
        ),
        // LXC calls its links so, too.
        (vec![veth(4, "lxc1", None)], Level::Ok, "routes to other"),
        (
            vec![of_kind("macvlan", "mac0")],
            Level::Warning,
            "macvlan (mac0)",
        ),
        (vec![of_kind("ipvlan", "ipvl0")], Level::Warning, "bypass"),
        (switch, Level::Error, "ovs-system"),
        (vec![of_kind("", "eth0")], Level::Ok, "no pods"),
    ];
    for (links, level, words) in rows {
        let findings = judged(&links, OFF);
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!(finding.level, level, "{finding}");
        assert!(finding.to_string().contains(words), "{finding}");
    }
}
