//! Others who judge packets on this node, known by the names of their tables and chains.

use std::collections::BTreeSet;

use super::Finding;

const CHECK: &str = "engines";

/// A program that leaves its mark in netfilter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Engine {
    Calico,
    KubeRouter,
    Antrea,
    Cilium,
    Weave,
    KubeNetworkPolicies,
    AwsVpcCni,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Calico => "Calico (Felix)",
            Self::KubeRouter => "kube-router, which k3s has built in",
            Self::Antrea => "Antrea",
            Self::Cilium => "Cilium",
            Self::Weave => "Weave Net",
            Self::KubeNetworkPolicies => "kube-network-policies, which kindnet has built in",
            Self::AwsVpcCni => "the AWS VPC CNI",
        }
    }

    /// How it is made to leave policies alone.
    fn off(self) -> &'static str {
        match self {
            Self::Calico => "run Calico as a network only, without calico-node's Felix",
            Self::KubeRouter => "kube-router: --run-firewall=false; k3s: --disable-network-policy",
            Self::Antrea => {
                "Antrea: its feature gate NetworkPolicy cannot be switched off in all modes"
            }
            Self::Cilium => "Cilium: enable-policy=never",
            Self::Weave => "Weave Net: EXPECT_NPC=0, without the container weave-npc",
            Self::KubeNetworkPolicies => "delete its DaemonSet; kindnet: --network-policy=false",
            Self::AwsVpcCni => "AWS VPC CNI: enableNetworkPolicy=false",
        }
    }

    /// Whose chain that is.
    pub(super) fn of_chain(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let marks: [(&[&str], Self); 6] = [
            (&["CALI-", "FILTER-CALI-", "RAW-CALI-"], Self::Calico),
            (
                &["KUBE-ROUTER-", "KUBE-NWPLCY-", "KUBE-POD-FW-"],
                Self::KubeRouter,
            ),
            (&["ANTREA-"], Self::Antrea),
            (&["CILIUM_"], Self::Cilium),
            (&["WEAVE-NPC"], Self::Weave),
            (&["AWS-"], Self::AwsVpcCni),
        ];
        let has = |(prefixes, _): &&(&[&str], Self)| prefixes.iter().any(|p| upper.starts_with(p));
        marks.iter().find(has).map(|(_, engine)| *engine)
    }

    /// Whose table that is.
    pub(super) fn of_table(name: &str) -> Option<Self> {
        if name.ends_with("-network-policies") {
            return Some(Self::KubeNetworkPolicies);
        }
        let marks = [
            ("calico", Self::Calico),
            ("cilium", Self::Cilium),
            ("antrea", Self::Antrea),
        ];
        let has = |(prefix, _): &&(&str, Self)| name.starts_with(prefix);
        marks.iter().find(has).map(|(_, engine)| *engine)
    }
}

/// What their marks amount to. `legacy` names the tables of the kernel's older packet filter.
pub(super) fn judge(engines: &BTreeSet<Engine>, legacy: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = engines.iter().map(|engine| told(*engine)).collect();
    if findings.is_empty() {
        let found = "nftables shows no other NetworkPolicy engine";
        findings.push(Finding::ok(CHECK, found));
    }
    let tables: Vec<&str> = legacy.split_whitespace().collect();
    if !tables.is_empty() {
        let found = format!(
            "iptables-legacy is in use as well (tables {}), and cannot be looked into: what it drops stays dropped, \
             and an engine in it is not seen; `iptables-legacy -S` on the node shows it",
            tables.join(", ")
        );
        findings.push(Finding::ok(CHECK, found).about("iptables-legacy"));
    }
    findings
}

fn told(engine: Engine) -> Finding {
    let name = engine.name();
    if engine == Engine::AwsVpcCni {
        let found = format!(
            "chains of {name}: if its network policy agent is on, a packet needs its consent, too ({})",
            engine.off()
        );
        return Finding::ok(CHECK, found).about(name);
    }
    Finding::warning(
        CHECK,
        format!(
            "another NetworkPolicy engine has chains here: {name}; a packet needs the consent of both"
        ),
        format!("let only one judge, and clean up behind the other ({})", engine.off()),
    )
    .about(name)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn engines_are_known_by_their_marks() {
        for (chain, expected) in [
            ("cali-FORWARD", Some(Engine::Calico)),
            ("filter-cali-FORWARD", Some(Engine::Calico)),
            ("KUBE-ROUTER-FORWARD", Some(Engine::KubeRouter)),
            ("KUBE-POD-FW-ABC", Some(Engine::KubeRouter)),
            ("KUBE-NWPLCY-DEFAULT", Some(Engine::KubeRouter)),
            ("KUBE-SERVICES", None),
            ("KUBE-FORWARD", None),
            ("ANTREA-FORWARD", Some(Engine::Antrea)),
            ("CILIUM_FORWARD", Some(Engine::Cilium)),
            ("WEAVE-NPC-DEFAULT", Some(Engine::Weave)),
            ("WEAVE", None),
            ("AWS-SNAT-CHAIN-0", Some(Engine::AwsVpcCni)),
            ("FORWARD", None),
            ("pod/cali-x/y/ingress", None),
            ("", None),
        ] {
            assert_eq!(Engine::of_chain(chain), expected, "{chain}");
        }
        for (table, expected) in [
            ("kube-network-policies", Some(Engine::KubeNetworkPolicies)),
            (
                "kindnet-network-policies",
                Some(Engine::KubeNetworkPolicies),
            ),
            ("calico", Some(Engine::Calico)),
            ("cilium-policies", Some(Engine::Cilium)),
            ("kube-proxy", None),
            ("netpol", None),
        ] {
            assert_eq!(Engine::of_table(table), expected, "{table}");
        }
    }

    #[test]
    fn each_is_told_once() {
        let engines = BTreeSet::from([Engine::Calico, Engine::AwsVpcCni]);
        let levels: Vec<Level> = judge(&engines, "nat\nfilter\n")
            .iter()
            .map(|finding| finding.level)
            .collect();
        assert_eq!(levels, [Level::Warning, Level::Ok, Level::Ok]);
        let none = judge(&BTreeSet::new(), "");
        assert_eq!((none.len(), none[0].level), (1, Level::Ok));
    }
}
