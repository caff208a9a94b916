//! How pods hang on the node: whether what they say to each other passes netfilter's hooks.

use super::links::Link;
use super::settings::Bridged;
use super::{Finding, Level};

const CHECK: &str = "pods";

/// Links grouped by how packets go through them.
#[derive(Debug, Default)]
pub(super) struct Attachment<'a> {
    /// Bridges and switches, with the number of ports whose other end is in another network namespace.
    pub(super) bridges: Vec<(&'a Link, usize)>,
    /// Links to other network namespaces that the node routes to.
    pub(super) routed: Vec<&'a Link>,
    cilium: Vec<&'a Link>,
    shared: Vec<&'a Link>,
}

impl<'a> Attachment<'a> {
    pub(super) fn of(links: &'a [Link]) -> Self {
        let mut found = Self::default();
        let has_cilium = links.iter().any(|link| link.name.starts_with("cilium_"));
        for link in links {
            let name = link.name.as_str();
            let is_ciliums = name.starts_with("cilium_") || name.starts_with("lxc");
            let is_port = link.master.is_some_and(|master| is_switch(links, master));
            match link.kind.as_str() {
                "bridge" | "openvswitch" => {
                    let is_pods = |port: &&Link| {
                        port.master == Some(link.index)
                            && port.kind == "veth"
                            && port.leads_elsewhere
                    };
                    let ports = links.iter().filter(is_pods).count();
                    found.bridges.extend((ports > 0).then_some((link, ports)));
                }
                "veth" | "netkit" if has_cilium && is_ciliums => found.cilium.push(link),
                "veth" if link.leads_elsewhere && !is_port => found.routed.push(link),
                "ipvlan" | "ipvtap" | "macvlan" | "macvtap" => found.shared.push(link),
                _ => {}
            }
        }
        found
    }

    /// Whether pods may hang on the node at all.
    pub(super) fn has_some(&self) -> bool {
        !self.bridges.is_empty() || !self.routed.is_empty() || !self.cilium.is_empty()
    }
}

fn is_switch(links: &[Link], index: u32) -> bool {
    let is_it = |link: &Link| link.index == index && is_bridge_or_switch(link);
    links.iter().any(is_it)
}

fn is_bridge_or_switch(link: &Link) -> bool {
    matches!(link.kind.as_str(), "bridge" | "openvswitch")
}

/// What links and settings amount to.
pub(super) fn judge(attachment: &Attachment<'_>, settings: Bridged) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (link, ports) in &attachment.bridges {
        findings.push(if link.kind == "bridge" {
            bridge(link, *ports, settings)
        } else {
            switch(link, *ports)
        });
    }
    if let Some(link) = attachment.cilium.first() {
        findings.push(
            Finding::warning(
                CHECK,
                format!(
                    "Cilium carries packets here ({} links, as {}): by default its programs hand them from pod to pod \
                     past netfilter's hooks",
                    attachment.cilium.len(),
                    link.name
                ),
                "leave policies to Cilium, or give it endpoint routes and host routing by the kernel \
                 (endpointRoutes.enabled, bpf.hostLegacyRouting)",
            )
            .about("cilium"),
        );
    }
    for link in &attachment.shared {
        let (name, kind) = (&link.name, &link.kind);
        findings.push(
            Finding::warning(
                CHECK,
                format!(
                    "there is a link of kind {kind} ({name}): packets of pods on such links bypass netfilter on the node"
                ),
                "attach pods whose policies count by veth (CNI plugins bridge or ptp)",
            )
            .about(name),
        );
    }
    if let [link, ..] = attachment.routed.as_slice() {
        let count = attachment.routed.len();
        let links = if count == 1 { "link" } else { "links" };
        findings.push(Finding::ok(
            CHECK,
            format!(
                "the node routes to other network namespaces by {count} veth {links} (as {}): their packets pass the hooks",
                link.name
            ),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "no pods hang on this node yet"));
    }
    findings
}

/// A bridge hands frames from port to port itself, unless `br_netfilter` shows them to netfilter first.
fn bridge(link: &Link, ports: usize, settings: Bridged) -> Finding {
    let name = &link.name;
    let is_loaded = settings.v4.is_some();
    let is_shown = |setting: Option<bool>, own| setting.is_some_and(|is_on| is_on || own);
    let [own_v4, own_v6] = link.shows;
    let unseen = match (is_shown(settings.v4, own_v4), is_shown(settings.v6, own_v6)) {
        (true, true) => {
            return Finding::ok(
                CHECK,
                format!("packets between pods of bridge {name} ({ports}) are shown to netfilter"),
            )
            .about(name);
        }
        (true, false) => "IPv6 packets",
        (false, true) => "IPv4 packets",
        (false, false) => "packets",
    };
    // One pod has nobody to reach, and containers that are no pods are nobody's business here.
    let (level, found) = if is_other_engines(name) {
        let found = format!(
            "{unseen} between containers on bridge {name} are not seen by netfilter; if they are pods, no policy holds \
             between them"
        );
        (Level::Warning, found)
    } else if ports > 1 {
        let found = format!(
            "{unseen} between two pods of bridge {name} ({ports} ports) are not seen by netfilter: no policy holds \
             between them"
        );
        (Level::Error, found)
    } else {
        let found = format!(
            "{unseen} between pods of bridge {name} will not be seen by netfilter as soon as there are two"
        );
        (Level::Warning, found)
    };
    let load = if is_loaded {
        ""
    } else {
        "`modprobe br_netfilter`, then "
    };
    let advice = format!(
        "on the node: {load}`sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1`, and \
         keep that in /etc/modules-load.d and /etc/sysctl.d"
    );
    Finding::new(level, CHECK, found, Some(&advice)).about(name)
}

/// Open vSwitch never asks netfilter between two of its ports.
fn switch(link: &Link, ports: usize) -> Finding {
    let name = &link.name;
    let found = format!(
        "{ports} links to pods are ports of the switch {name}: packets between them are not seen by netfilter"
    );
    let advice = "leave policies to the network plugin of the switch, or use one that attaches pods by bridge or route";
    let level = if ports > 1 {
        Level::Error
    } else {
        Level::Warning
    };
    Finding::new(level, CHECK, found, Some(advice)).about(name)
}

/// Names that engines give to bridges for other things than pods.
pub(super) fn is_other_engines(bridge: &str) -> bool {
    let prefixes = [
        "docker", "podman", "nerdctl", "virbr", "lxcbr", "lxdbr", "incusbr",
    ];
    // Docker's networks: twelve digits of their number.
    let is_networks = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    prefixes.iter().any(|prefix| bridge.starts_with(prefix))
        || bridge.strip_prefix("br-").is_some_and(is_networks)
}

#[cfg(test)]
mod tests;
